/*
 * Makes the kernel ask for modules, and says how long each request took and what memory it needed: for bench-helper.mjs, in a guest.
 *
 *   bench-helper ROUNDS DAEMON-PID KMODS-MODPROBE OUR-HELPER MODULE...
 *
 * tcp_N is an alias of module N, from 1: TCP_CONGESTION with a name that nobody has asks the kernel, and that asks the program. The two
 * programs take turns, and what was loaded is removed before the next turn.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Microseconds. */
enum { PAUSE = 100000, SAMPLE = 200 };
/* Shorter than a helper waits for its first answer. */
enum { WAIT = 1500000 };
/* Is there while the daemon has events. */
static const char queue[] = "/run/udev/queue";

static char **modules;
static int count;
static const char *daemon_pid;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static double free_memory(void)
{
	struct sysinfo info;
	if (sysinfo(&info) < 0) fail("sysinfo");
	return (double)info.freeram * info.mem_unit;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd) < 0) fail(path);
}

/* Bytes that the daemon has resident (`VmRSS:`), or has had at most since its mark was reset (`VmHWM:`). */
static double daemon_memory(const char *field)
{
	char path[64], line[256];
	double result = -1;
	FILE *file;
	snprintf(path, sizeof path, "/proc/%s/status", daemon_pid);
	file = fopen(path, "r");
	if (!file) fail(path);
	while (fgets(line, sizeof line, file))
		if (strncmp(line, field, strlen(field)) == 0) result = atof(line + strlen(field)) * 1024;
	fclose(file);
	return result;
}

/* The uevents of the modules before are worked off, and freed memory is free. */
static void be_quiet(void)
{
	do usleep(PAUSE); while (access(queue, F_OK) == 0);
}

static void request(int index)
{
	char name[16];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int length = snprintf(name, sizeof name, "%d", index + 1);
	/* The module is no congestion control: ENOENT is the answer once it is there. */
	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, length) == 0 || errno != ENOENT) fail("TCP_CONGESTION");
	close(fd);
}

static void unload(int from, int to)
{
	int i;
	be_quiet();
	/* It fails for one that is not loaded. */
	for (i = from; i < to; i++) if (syscall(SYS_delete_module, modules[i], O_NONBLOCK) < 0) fail(modules[i]);
	be_quiet();
}

struct askers { int start, answered, end; };

/* Processes that ask for one module each as soon as `start` is closed, write a byte, and stay until `end` is closed. */
static struct askers fork_askers(void)
{
	int start[2], answered[2], end[2], i;
	if (pipe(start) < 0 || pipe(answered) < 0 || pipe(end) < 0) fail("pipe");
	for (i = 0; i < count; i++) {
		char byte = 0;
		pid_t pid = fork();
		if (pid < 0) fail("fork");
		if (pid > 0) continue;
		close(start[1]);
		close(end[1]);
		if (read(start[0], &byte, 1) < 0) fail("read");
		request(i);
		if (write(answered[1], &byte, 1) != 1 || read(end[0], &byte, 1) < 0) fail("asker");
		_exit(0);
	}
	close(start[0]);
	close(answered[1]);
	close(end[0]);
	be_quiet();
	return (struct askers) { start[1], answered[0], end[1] };
}

/* How many have answers since; 0 or less where none has. */
static long answers(struct askers askers)
{
	char bytes[64];
	return read(askers.answered, bytes, sizeof bytes);
}

static void end_askers(struct askers askers)
{
	int status;
	close(askers.end);
	close(askers.answered);
	while (wait(&status) > 0) if (status != 0) fail("an asker");
}

/* In microseconds, also below. */
static void time_of_one(const char *program, int index)
{
	double begun;
	write_file("/proc/sys/kernel/modprobe", program);
	begun = now();
	request(index);
	printf("one %s %.1f\n", program, now() - begun);
	unload(index, index + 1);
}

/* From the first request to the last answer. */
static void time_of_all(const char *program)
{
	double begun;
	struct askers askers;
	int left = count;
	write_file("/proc/sys/kernel/modprobe", program);
	askers = fork_askers();
	begun = now();
	close(askers.start);
	while (left > 0) {
		long more = answers(askers);
		if (more <= 0) fail("an asker");
		left -= more;
	}
	printf("all %s %.1f\n", program, now() - begun);
	end_askers(askers);
	unload(0, count);
}

/*
 * In bytes, while all ask at once: the most that was missing of the free memory, what is still missing then (the modules are), and by how
 * much the daemon grew at most.
 */
static void memory_of(const char *program)
{
	const struct sched_param first = { 1 }, none = { 0 };
	char path[64];
	double resident, before, least;
	struct askers askers;
	int left = count;
	write_file("/proc/sys/kernel/modprobe", program);
	askers = fork_askers();
	if (fcntl(askers.answered, F_SETFL, O_NONBLOCK) < 0) fail("O_NONBLOCK");
	snprintf(path, sizeof path, "/proc/%s/clear_refs", daemon_pid);
	write_file(path, "5");
	resident = daemon_memory("VmRSS:");
	before = least = free_memory();
	if (sched_setscheduler(0, SCHED_FIFO, &first) < 0) fail("SCHED_FIFO");
	close(askers.start);
	while (left > 0) {
		double is_free = free_memory();
		long more = answers(askers);
		if (is_free < least) least = is_free;
		if (more > 0) left -= more;
		else if (more == 0) fail("an asker");
		usleep(SAMPLE);
	}
	sched_setscheduler(0, SCHED_OTHER, &none);
	printf("daemon %s %.0f\n", program, daemon_memory("VmHWM:") - resident);
	be_quiet();
	printf("peak %s %.0f\nkept %s %.0f\n", program, before - least, program, before - free_memory());
	end_askers(askers);
	unload(0, count);
}

/* Bytes of the processes of `name`, proportional; `found` says how many they are. */
static double memory_of_all(const char *name, int *found)
{
	double sum = 0;
	struct dirent *entry;
	DIR *directory = opendir("/proc");
	if (!directory) fail("/proc");
	*found = 0;
	while ((entry = readdir(directory))) {
		char path[300], line[256] = "";
		FILE *file;
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
		snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
		file = fopen(path, "r");
		if (file && fgets(line, sizeof line, file)) line[strcspn(line, "\n")] = 0;
		if (file) fclose(file);
		if (strcmp(line, name) != 0) continue;
		snprintf(path, sizeof path, "/proc/%s/smaps_rollup", entry->d_name);
		file = fopen(path, "r");
		if (!file) continue;
		while (fgets(line, sizeof line, file)) if (strncmp(line, "Pss:", 4) == 0) sum += atof(line + 4) * 1024;
		fclose(file);
		(*found)++;
	}
	closedir(directory);
	return sum;
}

/* In bytes: all helpers that wait for a daemon which does not answer yet. */
static void memory_of_helpers(const char *program)
{
	const char *name = strrchr(program, '/') + 1;
	struct askers askers;
	int found, left = count;
	double sum, end;
	write_file("/proc/sys/kernel/modprobe", program);
	askers = fork_askers();
	if (kill(atoi(daemon_pid), SIGSTOP) < 0) fail("SIGSTOP");
	end = now() + WAIT;
	close(askers.start);
	do sum = memory_of_all(name, &found); while (found < count && now() < end);
	if (kill(atoi(daemon_pid), SIGCONT) < 0) fail("SIGCONT");
	if (found == count) printf("helpers %s %.0f\n", program, sum);
	while (left > 0) {
		long more = answers(askers);
		if (more <= 0) fail("an asker");
		left -= more;
	}
	end_askers(askers);
	unload(0, count);
}

int main(int argc, char **argv)
{
	int rounds, round, turn;
	if (argc < 6) return 2;
	rounds = atoi(argv[1]);
	daemon_pid = argv[2];
	modules = argv + 5;
	count = argc - 5;
	setvbuf(stdout, 0, _IOLBF, 0);
	for (round = 0; round < rounds; round++)
		for (turn = 0; turn < 2; turn++) time_of_one(argv[3 + ((round + turn) & 1)], round % count);
	for (round = 0; round < rounds / 2; round++)
		for (turn = 0; turn < 2; turn++) time_of_all(argv[3 + ((round + turn) & 1)]);
	for (round = 0; round < rounds / 4; round++)
		for (turn = 0; turn < 2; turn++) memory_of(argv[3 + turn]);
	for (round = 0; round < 3; round++) memory_of_helpers(argv[4]);
	return 0;
}
