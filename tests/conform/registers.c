/*
 * registers.c - SCH-09: a goroutine that is stopped anywhere finds every register as it was.
 *
 *   fill all registers from a pattern -> a loop in memory only, stopped over and over -> store all
 *
 * Beside the loops a goroutine stops the world over and over, so that a second gives hundreds of
 * stops; how many there were is what GORODEBUG=preempt=1 says at the end.
 *
 * Go: runtime/testdata/testprog/preempt.go has no counterpart: there registers are spilled by code
 * that the assembler generates (preempt_amd64.s).
 */
#include "goro_tap.h"

#if defined(__x86_64__)

enum { LEVEL_SSE, LEVEL_AVX, LEVEL_AVX512 };

/* The assembly below knows the offsets. */
struct registers {
	uint64_t general[15]; /* 0: rax rbx rcx rdx rsi rdi rbp r8 to r15 */
	uint64_t flags;	      /* 120 */
	uint8_t x87[8][16];   /* 128: 10 bytes of each are used */
	uint32_t mxcsr;	      /* 256 */
	uint16_t x87_control; /* 260 */
	uint16_t filler;
	uint64_t mask[8];      /* 264 */
	uint8_t unused[56];    /* 328 */
	uint8_t vector[32][64]; /* 384 */
};

/* Loads all from *in, counts down from n, stores all to *out. The vectors of that level. */
void spin_with_registers(const struct registers *in, struct registers *out, uint64_t n, int level);

__asm__(".text\n"
	".globl spin_with_registers\n"
	".type spin_with_registers, @function\n"
	"spin_with_registers:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n"
	"	push %r13\n	push %r14\n	push %r15\n"
	"	push %rsi\n	push %rcx\n	push %rdx\n"
	"	cmp $1, %ecx\n	je 1f\n	jg 2f\n"
	".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movdqu 384+64*\\i(%rdi), %xmm\\i\n"
	".endr\n"
	"	jmp 3f\n"
	"1:\n"
	".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovdqu 384+64*\\i(%rdi), %ymm\\i\n"
	".endr\n"
	"	jmp 3f\n"
	"2:\n"
	".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,"
	"30,31\n"
	"	vmovdqu64 384+64*\\i(%rdi), %zmm\\i\n"
	".endr\n"
	".irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovq 264+8*\\i(%rdi), %k\\i\n"
	".endr\n"
	"3:\n"
	"	ldmxcsr 256(%rdi)\n"
	"	fninit\n"
	"	fldcw 260(%rdi)\n"
	".irp i, 0,1,2,3,4,5,6,7\n"
	"	fldt 128+16*\\i(%rdi)\n"
	".endr\n"
	"	mov 0(%rdi), %rax\n	mov 8(%rdi), %rbx\n	mov 16(%rdi), %rcx\n"
	"	mov 24(%rdi), %rdx\n	mov 32(%rdi), %rsi\n	mov 48(%rdi), %rbp\n"
	"	mov 56(%rdi), %r8\n	mov 64(%rdi), %r9\n	mov 72(%rdi), %r10\n"
	"	mov 80(%rdi), %r11\n	mov 88(%rdi), %r12\n	mov 96(%rdi), %r13\n"
	"	mov 104(%rdi), %r14\n	mov 112(%rdi), %r15\n	mov 40(%rdi), %rdi\n"
	/* The carry is in nobody's way: dec leaves it alone. */
	"	stc\n"
	"4:	decq (%rsp)\n"
	"	jnz 4b\n"
	"	pushfq\n"
	"	push %r15\n	push %r14\n	push %r13\n	push %r12\n	push %r11\n"
	"	push %r10\n	push %r9\n	push %r8\n	push %rbp\n	push %rdi\n"
	"	push %rsi\n	push %rdx\n	push %rcx\n	push %rbx\n	push %rax\n"
	"	mov 144(%rsp), %rdi\n	mov 136(%rsp), %ecx\n"
	".irp i, 0,8,16,24,32,40,48,56,64,72,80,88,96,104,112,120\n"
	"	popq \\i(%rdi)\n"
	".endr\n"
	"	cmp $1, %ecx\n	je 1f\n	jg 2f\n"
	".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	movdqu %xmm\\i, 384+64*\\i(%rdi)\n"
	".endr\n"
	"	jmp 3f\n"
	"1:\n"
	".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovdqu %ymm\\i, 384+64*\\i(%rdi)\n"
	".endr\n"
	"	vzeroupper\n"
	"	jmp 3f\n"
	"2:\n"
	".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,"
	"30,31\n"
	"	vmovdqu64 %zmm\\i, 384+64*\\i(%rdi)\n"
	".endr\n"
	".irp i, 0,1,2,3,4,5,6,7\n"
	"	kmovq %k\\i, 264+8*\\i(%rdi)\n"
	".endr\n"
	"	vzeroupper\n"
	"3:\n"
	"	stmxcsr 256(%rdi)\n"
	"	fnstcw 260(%rdi)\n"
	".irp i, 7,6,5,4,3,2,1,0\n"
	"	fstpt 128+16*\\i(%rdi)\n"
	".endr\n"
	"	fninit\n"
	"	movl $0x1f80, (%rsp)\n	ldmxcsr (%rsp)\n"
	"	add $24, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n"
	"	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".size spin_with_registers, .-spin_with_registers\n");

static int level_of_cpu(void)
{
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
		return LEVEL_AVX512;
	return __builtin_cpu_supports("avx") ? LEVEL_AVX : LEVEL_SSE;
}

static void fill(struct registers *r, uint64_t *random, int level)
{
	static const int bytes_of[] = {16, 32, 64};
	memset(r, 0, sizeof(*r));
	for (int i = 0; i < 15; i++)
		r->general[i] = tap_random(random);
	for (int i = 0; i < 8; i++) {
		/* A normal number: an integer bit that is set, an exponent in the middle. */
		uint64_t mantissa = tap_random(random) | UINT64_C(1) << 63;
		uint16_t exponent = 0x3000 + (tap_random(random) & 0xfff);
		memcpy(r->x87[i], &mantissa, 8);
		memcpy(r->x87[i] + 8, &exponent, 2);
		r->mask[i] = level == LEVEL_AVX512 ? tap_random(random) : 0;
	}
	r->mxcsr = 0x1f80 | (uint32_t)(tap_random(random) & 3) << 13; /* rounding */
	r->x87_control = 0x037f | (uint16_t)((tap_random(random) & 3) << 10);
	for (int i = 0; i < (level == LEVEL_AVX512 ? 32 : 16); i++)
		for (int k = 0; k < bytes_of[level]; k++)
			r->vector[i][k] = (uint8_t)tap_random(random);
}

struct spinner {
	int n_spins, n_wrong;
	uint64_t random;
};

static int is_over;

static void show_difference(const struct registers *in, const struct registers *out)
{
	for (size_t i = 0; i < sizeof(*in); i++)
		if (((const uint8_t *)in)[i] != ((const uint8_t *)out)[i]) {
			tap_diag("# first difference at offset %zu: %#x, not %#x", i,
				 ((const uint8_t *)out)[i], ((const uint8_t *)in)[i]);
			return;
		}
}

static void spins(struct spinner *s)
{
	struct registers in, out;
	int level = level_of_cpu();
	while (!load(&is_over)) {
		fill(&in, &s->random, level);
		memset(&out, 0, sizeof(out));
		spin_with_registers(&in, &out, 20000000 / TAP_SLOWER, level);
		if ((out.flags & 1) == 0)
			add(&s->n_wrong, 1);
		out.flags = 0;
		if (memcmp(&in, &out, sizeof(in)) != 0) {
			show_difference(&in, &out);
			add(&s->n_wrong, 1);
		}
		add(&s->n_spins, 1);
	}
}

GORO_CHILD(spins_while_the_world_stops)
{
	enum { N = 6 };
	struct spinner spinners[N];
	uint64_t seed = tap_seed();
	int n_procs = goro_maxprocs(0), n_wrong = 0, n_spins = 0;
	for (int i = 0; i < N; i++) {
		spinners[i] = (struct spinner){.random = tap_random(&seed)};
		go(spins, &spinners[i]);
	}
	int64_t end = goro_now() + GORO_SEC(tap_seconds);
	while (goro_now() < end) {
		goro_maxprocs(n_procs);
		goro_yield();
	}
	store(&is_over, 1);
	wait_for(goro_count() == 1);
	for (int i = 0; i < N; i++) {
		n_wrong += spinners[i].n_wrong;
		n_spins += spinners[i].n_spins;
	}
	printf("spins %d, wrong %d, level %d\n", n_spins, n_wrong, level_of_cpu());
}

TAP_CASE(registers_are_unchanged_by_stops, .id = "SCH-09")
{
	struct tap_child c;
	int n_spins = 0, n_wrong = 1;
	unsigned long n_stopped = 0;
	char seconds[40];
	snprintf(seconds, sizeof(seconds), "TAP_SECONDS=%d", tap_seconds);
	tap_child(&c, "spins_while_the_world_stops", "GORODEBUG=preempt=1", seconds);
	expect_child(&c, 0, "goro: preempt: ");
	const char *line = strstr(c.out, "spins ");
	expect(line != NULL && sscanf(line, "spins %d, wrong %d", &n_spins, &n_wrong) == 2);
	const char *stopped = strstr(c.err, "stopped: ");
	expect(stopped != NULL && sscanf(stopped, "stopped: %lu", &n_stopped) == 1);
	printf("# %lu stops, %s", n_stopped, line != NULL ? line : "\n");
	expect_ge(n_spins, 1);
	expect_eq(n_wrong, 0);
	expect_ge(n_stopped, 10);
}

#else

TAP_CASE(registers_are_unchanged_by_stops, .id = "SCH-09")
{
	tap_skip("written for amd64 only");
}

#endif

TAP_MAIN
