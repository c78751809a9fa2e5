/*
 * Two user-polled rings, each with an event to consume. The process scribbles
 * over the header of the first and consumes from the second as it should.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, MAGIC = 0, MAX_ITEMS = 3, HEAD = 4, TAIL = 5, ITEMS = 32 };

static long epoll_wait_empty(int ring)
{
	return syscall(SYS_epoll_wait, ring, NULL, 0, 200);
}

static uint32_t *ring_with_an_event(int *ring, int *event)
{
	struct epoll_event wanted = { .events = EPOLLIN | EPOLLET };
	uint64_t one = 1;
	uint32_t *header;

	*ring = syscall(600, 1, (size_t)8);
	*event = eventfd(0, EFD_NONBLOCK);
	if (*ring < 0 || *event < 0)
		return NULL;
	header = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *ring, 0);
	if (header == MAP_FAILED || epoll_ctl(*ring, EPOLL_CTL_ADD, *event, &wanted))
		return NULL;
	if (write(*event, &one, sizeof(one)) != sizeof(one))
		return NULL;
	return header;
}

int main(void)
{
	int rings[2], events[2];
	uint32_t *hostile = ring_with_an_event(&rings[0], &events[0]);
	uint32_t *healthy = ring_with_an_event(&rings[1], &events[1]);
	uint64_t one = 1;

	if (!hostile || !healthy) {
		perror("scribbler: no ring");
		return 1;
	}
	hostile[MAGIC] = 0xdeadbeef;
	hostile[MAX_ITEMS] = 0xffffffff;
	hostile[HEAD] = hostile[TAIL] + 1000;
	hostile[ITEMS] = 0; /* ready again: the next write makes a new slot */
	if (write(events[0], &one, sizeof(one)) != sizeof(one))
		return 1;
	epoll_wait_empty(rings[0]);

	healthy[ITEMS] = 0;
	healthy[HEAD]++;
	epoll_wait_empty(rings[1]);
	return 0;
}
