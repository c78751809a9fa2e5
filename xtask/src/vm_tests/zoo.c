/*
 * One user-polled ring of 32 items that watches a file of each kind. Tells
 * `PID FD` of it, then `KIND FD` for each, then `ready`; stays until it is
 * killed. With `hostile` it scribbles over its header, items and slots for ever.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { PAGE = 4096, ITEMS = 32 };

static int ring;
static uint64_t data = 100;

static void watch(const char *kind, int fd, uint64_t with)
{
	struct epoll_event wanted = { .events = EPOLLIN | EPOLLET };

	wanted.data.u64 = with;
	if (fd < 0 || epoll_ctl(ring, EPOLL_CTL_ADD, fd, &wanted)) {
		perror(kind);
		exit(1);
	}
	printf("%s %d\n", kind, fd);
}

static int listener(struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t length = sizeof(*address);

	memset(address, 0, length);
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)address, length) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)address, &length))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct itimerspec each = { .it_value.tv_sec = 500, .it_interval.tv_sec = 7 };
	struct sockaddr_in address;
	int pair[2], ends[2], fd, notes;
	volatile uint32_t *header, *index;
	uint32_t noise = 1;
	sigset_t signals;

	ring = syscall(600, 1, (size_t)ITEMS);
	printf("%d %d\n", getpid(), ring);
	/* Ready at once: one write came before. */
	watch("eventfd", eventfd(3, EFD_NONBLOCK), data++);
	watch("idle-eventfd", eventfd(0, EFD_NONBLOCK), data++);
	if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	watch("pipe", ends[0], data++);
	watch("unix", pair[0], data++);
	fd = listener(&address);
	watch("tcp-listening", fd, data++);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		perror("connect");
	watch("tcp", fd, data++);
	fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &each, NULL);
	watch("timerfd", fd, data++);
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	watch("signalfd", signalfd(-1, &signals, 0), data++);
	notes = inotify_init();
	inotify_add_watch(notes, "/", IN_CREATE);
	watch("inotify", notes, data++);
	watch("pidfd", syscall(SYS_pidfd_open, getpid(), 0), data++);
	watch("epoll", epoll_create1(0), data++);
	/* Two with the same data: which is which nobody can tell. */
	watch("twin", eventfd(0, 0), 7);
	watch("twin", eventfd(0, 0), 7);
	/* One whose descriptor becomes another file, while its own lives on. */
	fd = eventfd(0, 0);
	watch("replaced", fd, data++);
	dup(fd);
	dup2(ends[1], fd);
	printf("ready\n");
	fflush(stdout);

	header = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
	index = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, PAGE);
	if (header == MAP_FAILED || index == MAP_FAILED)
		return 1;
	while (argc > 1 && !strcmp(argv[1], "hostile")) {
		noise = noise * 1664525 + 1013904223;
		header[(noise >> 16) % (PAGE / 4)] = noise;
		header[noise % 6] = noise >> 3;
		index[(noise >> 8) % (PAGE / 4)] = noise;
	}
	for (;;)
		pause();
}
