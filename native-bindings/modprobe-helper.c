/*
 * The kernel's helper: hands what request_module() asks for to the running tsudevd, and runs the CLI where that does not answer.
 *
 * The kernel starts it as `HELPER -q -- ALIAS`, with no open descriptors, for each name (kernel/module/kmod.c). It stands on raw
 * system calls, without a C library: its start is the time that a mount waits. docs/helper.md describes the socket.
 */

#if defined(__x86_64__)
enum { SYS_read = 0, SYS_close = 3, SYS_socket = 41, SYS_connect = 42, SYS_sendto = 44, SYS_setsockopt = 54, SYS_execve = 59, SYS_exit_group = 231, SYS_openat = 257, SYS_ppoll = 271 };
__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call run\n hlt\n");
static long call(long number, long a, long b, long c, long d, long e)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
enum { SYS_openat = 56, SYS_close = 57, SYS_read = 63, SYS_ppoll = 73, SYS_exit_group = 94, SYS_socket = 198, SYS_connect = 203, SYS_sendto = 206, SYS_setsockopt = 208, SYS_execve = 221 };
#ifdef __aarch64__
__asm__(".globl _start\n_start:\n mov x29, #0\n mov x30, #0\n mov x0, sp\n bl run\n");
#define REGISTER(n) __asm__("x" #n)
#define NUMBER __asm__("x8")
#define TRAP "svc #0"
#else
__asm__(".globl _start\n_start:\n .option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n mv a0, sp\n andi sp, sp, -16\n call run\n");
#define REGISTER(n) __asm__("a" #n)
#define NUMBER __asm__("a7")
#define TRAP "ecall"
#endif
static long call(long number, long a, long b, long c, long d, long e)
{
	register long r0 REGISTER(0) = a;
	register long r1 REGISTER(1) = b;
	register long r2 REGISTER(2) = c;
	register long r3 REGISTER(3) = d;
	register long r4 REGISTER(4) = e;
	register long n NUMBER = number;
	__asm__ volatile(TRAP : "+r"(r0) : "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(n) : "memory");
	return r0;
}
#else
#error "no system calls known for this processor"
#endif

enum { AT_FDCWD = -100, O_RDWR = 2, O_CLOEXEC = 02000000, AF_UNIX = 1, SOCK_SEQPACKET = 5, SOL_SOCKET = 1, SO_SNDTIMEO = 21, MSG_NOSIGNAL = 0x4000, POLLIN = 1 };
/* Longer than any name of the kernel (MODULE_NAME_LEN is 56 or 64); the daemon has the same limit. */
enum { ALIAS_MAX = 255 };
/* Messages of the daemon that are no exit status. */
enum { DECLINES = 254, STILL_AT_IT = 255 };
/* Seconds: to be let in, for the first answer, and between two answers; the daemon sends one each second. */
enum { CONNECT_SECONDS = 1, FIRST_SECONDS = 2, NEXT_SECONDS = 5 };
enum { EXIT_NO_DAEMON = 3, EXIT_NO_CLI = 127 };
/* The words of helper.conf, and its size. */
enum { WORDS_MAX = 8, CONF_MAX = 4096 };

struct timespec { long seconds, nanoseconds; };
struct pollfd { int fd; short events, revents; };
struct address { unsigned short family; char path[108]; };

static const struct address daemon = { AF_UNIX, "/run/udev/tsudevd.modprobe" };
static const char conf_path[] = "/etc/tsmodprobe/helper.conf";
/* Says to a helper that is started once more, as /sbin/modprobe say, that it must not go round in circles. */
static const char marker[] = "TSMODPROBE_HELPER=1";
static char conf[CONF_MAX];

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b) a++, b++;
	return *a == *b;
}

/* What the kernel asks for is one word: no path, no option. Its length, or 0. */
static long alias_length(const char *alias)
{
	long length = 0;
	if (alias[0] == '-') return 0;
	for (; alias[length]; length++)
		if (length == ALIAS_MAX || alias[length] <= ' ' || alias[length] > '~' || alias[length] == '/') return 0;
	return length;
}

/* The exit status that the daemon gives, or -1 where it gives none. The length includes the NUL. */
static int ask(const char *request, long length)
{
	const struct timespec wait = { CONNECT_SECONDS, 0 };
	struct timespec limit = { FIRST_SECONDS, 0 };
	unsigned char status;
	long fd = call(SYS_socket, AF_UNIX, SOCK_SEQPACKET | O_CLOEXEC, 0, 0, 0);
	int result = -1;
	if (fd < 0) return -1;
	/* connect() waits as long as the queue of a daemon that takes nobody is full; SO_SNDTIMEO ends that too. */
	call(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, (long)&wait, sizeof wait);
	if (call(SYS_connect, fd, (long)&daemon, sizeof daemon, 0, 0) == 0 && call(SYS_sendto, fd, (long)request, length, MSG_NOSIGNAL, 0) == length) {
		struct pollfd poll = { (int)fd, POLLIN, 0 };
		while (limit.seconds > 0 && call(SYS_ppoll, (long)&poll, 1, (long)&limit, 0, 0) == 1 && call(SYS_read, fd, (long)&status, 1, 0, 0) == 1) {
			if (status == DECLINES) break;
			if (status != STILL_AT_IT) {
				result = status;
				break;
			}
			/* ppoll() leaves in it what is left. */
			limit.seconds = NEXT_SECONDS;
			limit.nanoseconds = 0;
		}
	}
	call(SYS_close, fd, 0, 0, 0, 0);
	return result;
}

/* Becomes the program of helper.conf, one word a line, the alias behind it; or the modprobe that the kernel runs by itself. */
static int run_cli(const char *alias)
{
	const char *const environment[] = { "HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", marker, 0 };
	const char *words[WORDS_MAX + 4];
	const char *const fallback[] = { "/sbin/modprobe", "-q", "--", alias, 0 };
	long fd = call(SYS_openat, AT_FDCWD, (long)conf_path, O_CLOEXEC, 0, 0);
	if (fd >= 0) {
		long length = call(SYS_read, fd, (long)conf, CONF_MAX - 1, 0, 0);
		long start = 0, count = 0, i;
		call(SYS_close, fd, 0, 0, 0, 0);
		for (i = 0; i < length && count < WORDS_MAX; i++) {
			if (conf[i] != '\n') continue;
			conf[i] = 0;
			if (i > start) words[count++] = conf + start;
			start = i + 1;
		}
		words[count] = "-q";
		words[count + 1] = "--";
		words[count + 2] = alias;
		words[count + 3] = 0;
		if (count > 0 && words[0][0] == '/') call(SYS_execve, (long)words[0], (long)words, (long)environment, 0, 0);
	}
	call(SYS_execve, (long)fallback[0], (long)fallback, (long)environment, 0, 0);
	return EXIT_NO_CLI;
}

static int helper(long argc, char **argv, char **envp)
{
	char request[ALIAS_MAX + 8] = "-q\0--";
	long fd, length, i;
	int status;
	/* The programs that we become write to 2, whatever that is. */
	do fd = call(SYS_openat, AT_FDCWD, (long)"/dev/null", O_RDWR, 0, 0); while (fd >= 0 && fd < 3);
	if (fd >= 3) call(SYS_close, fd, 0, 0, 0, 0);
	if (argc == 2 && equal(argv[1], "--ping")) {
		status = ask("--ping", sizeof "--ping");
		return status < 0 ? EXIT_NO_DAEMON : status;
	}
	if (argc != 4 || !equal(argv[1], "-q") || !equal(argv[2], "--")) return 1;
	length = alias_length(argv[3]);
	if (length == 0) return 1;
	for (; *envp; envp++) if (equal(*envp, marker)) return 1;
	for (i = 0; i <= length; i++) request[6 + i] = argv[3][i];
	status = ask(request, 6 + length + 1);
	return status < 0 ? run_cli(argv[3]) : status;
}

__attribute__((used, noreturn)) void run(long *stack)
{
	char **argv = (char **)(stack + 1);
	long argc = *stack;
	int status = helper(argc, argv, argv + argc + 1);
	for (;;) call(SYS_exit_group, status, 0, 0, 0, 0);
}
