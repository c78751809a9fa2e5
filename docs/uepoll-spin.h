/* SPDX-License-Identifier: MIT OR Apache-2.0
 * The probe uepoll:spin_end for a consumer of a user-polled ring in C: call
 * uepoll_spin_end(epfd, iterations) once at the end of each spin episode. A nop
 * while nobody listens; nothing where not x86-64. See spin-probe.md. */
#ifndef UEPOLL_SPIN_H
#define UEPOLL_SPIN_H

static inline __attribute__((always_inline)) void
uepoll_spin_end(int epfd, unsigned long long iterations)
{
#if defined(__x86_64__)
	__asm__ __volatile__(
		"990:	nop\n"
		".pushsection .note.stapsdt, \"?\", \"note\"\n"
		".balign 4; .4byte 992f - 991f, 994f - 993f, 3\n"
		"991:	.asciz \"stapsdt\"\n"
		"992:	.balign 4\n"
		"993:	.8byte 990b, _.stapsdt.base, 0\n"
		".asciz \"uepoll\"; .asciz \"spin_end\"; .asciz \"-4@%%edi 8@%%rsi\"\n"
		"994:	.balign 4; .popsection\n"
		".ifndef _.stapsdt.base\n"
		".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n"
		".weak _.stapsdt.base; .hidden _.stapsdt.base\n"
		"_.stapsdt.base: .space 1; .size _.stapsdt.base, 1\n"
		".popsection; .endif\n"
		: : "D"((long)epfd), "S"(iterations));
#else
	(void)epfd, (void)iterations;
#endif
}

#endif
