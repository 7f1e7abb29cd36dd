//go:build cuda

package emulated

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/autoresearch-go/autoresearch/gpu"
)

// run launches kernel k of a source on n floats, made from what it is given, and
// returns them.
func run(t *testing.T, source string, grid, block, shared int, values []float32) []float32 {
	t.Helper()
	d := open(t, true)
	p := put(d, values)
	d.Launch(d.Kernel(t.Name(), source, "k"), gpu.Dim{grid}, gpu.Dim{block}, shared, gpu.Address(p), gpu.Int(len(values)))
	return get[float32](d, p, len(values))
}

func upTo(n int) []float32 {
	f := make([]float32, n)
	for i := range f {
		f[i] = float32(i)
	}
	return f
}

func same(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// Each kernel moves the values of a block by one, through shared memory. Threads
// that read what later ones write are wrong in the usual order, those that read
// what earlier ones write in the opposite order alone.
const rotation = `extern "C" __global__ void k(float *x, int n) {
	SHARED
	int i = threadIdx.x;
	s[i] = x[blockIdx.x * blockDim.x + i];
	BARRIER
	x[blockIdx.x * blockDim.x + i] = s[FROM];
}`

func TestBarriers(t *testing.T) {
	Use(t)
	directions := map[string]func(i int) int{"min(i + 1, 63)": func(i int) int { return min(i+1, 63) }, "max(i - 1, 0)": func(i int) int { return max(i-1, 0) }}
	for name, shared := range map[string]string{"static": "__shared__ float s[64];", "dynamic": "extern __shared__ __align__(16) float s[];"} {
		for barrier, right := range map[string]bool{"__syncthreads();": true, "": false, "__syncwarp();": false} {
			for from, source := range directions {
				want := make([]float32, 128)
				for i := range want {
					want[i] = float32(i/64*64 + source(i%64))
				}
				kernel := strings.NewReplacer("SHARED", shared, "BARRIER", barrier, "FROM", from).Replace(rotation)
				t.Run(name+barrier+from, func(t *testing.T) {
					found := false
					Reversed(t, func(t *testing.T) {
						got := run(t, kernel, 2, 64, 256, upTo(128))
						found = found || !same(got, want)
					})
					if found == right {
						t.Errorf("with barrier %q the result is right: %v", barrier, !found)
					}
				})
			}
		}
	}
}

// Reading what the next round overwrites is a race as well, and shows in one order.
func TestBarrierAfterReading(t *testing.T) {
	Use(t)
	source := `extern "C" __global__ void k(float *x, int n) {
		__shared__ float s[64];
		float sum = 0;
		for (int r = 0; r < 2; r++) {
			s[threadIdx.x] = x[r * 64 + threadIdx.x];
			__syncthreads();
			sum += s[63 - threadIdx.x];
			BARRIER
		}
		x[threadIdx.x] = sum;
	}`
	for barrier, right := range map[string]bool{"__syncthreads();": true, "": false} {
		found := false
		Reversed(t, func(t *testing.T) {
			got := run(t, strings.ReplaceAll(source, "BARRIER", barrier), 1, 64, 0, upTo(128))
			for i, v := range got[:64] {
				found = found || v != float32(63-i+127-i)
			}
		})
		if found == right {
			t.Errorf("with barrier %q the result is right: %v", barrier, !found)
		}
	}
}

// Threads that have returned are not waited for, by barriers and by warps.
func TestThreadsThatReturned(t *testing.T) {
	Use(t)
	Reversed(t, func(t *testing.T) {
		got := run(t, `extern "C" __global__ void k(float *x, int n) {
			__shared__ float s[64];
			s[threadIdx.x] = 1;
			if (threadIdx.x >= 40) return;
			int lanes = __popc(__ballot_sync(~0u, 1));
			__syncthreads();
			x[threadIdx.x] = s[39 - threadIdx.x] + lanes;
		}`, 1, 64, 0, upTo(64))
		for i, v := range got {
			if want := []float32{33, 9, float32(i)}[min(i/32+i/40, 2)]; v != want {
				t.Errorf("element %d is %v, want %v", i, v, want)
			}
		}
	})
}

func TestWarpFunctions(t *testing.T) {
	Use(t)
	tests := []struct {
		expression string
		want       func(lane int) int
	}{
		{"__shfl_sync(~0u, v, 5)", func(int) int { return 5 }},
		{"__shfl_sync(~0u, v, 3, 8)", func(l int) int { return l/8*8 + 3 }},
		{"__shfl_xor_sync(~0u, v, 6)", func(l int) int { return l ^ 6 }},
		{"__shfl_up_sync(~0u, v, 2)", func(l int) int { return l - 2*boolInt(l >= 2) }},
		{"__shfl_down_sync(~0u, v, 2, 16)", func(l int) int { return l + 2*boolInt(l%16 < 14) }},
		{"__ballot_sync(~0u, lane < 3)", func(int) int { return 7 }},
		{"__any_sync(~0u, lane == 9)", func(int) int { return 1 }},
		{"__all_sync(~0u, lane != 9)", func(int) int { return 0 }},
		{"__reduce_add_sync(~0u, lane)", func(int) int { return 496 }},
		{"__reduce_max_sync(~0u, lane)", func(int) int { return 31 }},
		{"__match_any_sync(~0u, lane / 16)", func(l int) int { return 0xffff << (l / 16 * 16) & 0xffffff }},
		// Halves of a warp each for themselves, in branches, then together again.
		{"(lane < 16 ? __shfl_xor_sync(0xffffu, v, 1) : __shfl_xor_sync(0xffff0000u, __shfl_xor_sync(0xffff0000u, v, 2), 2)) + 0 * __shfl_sync(~0u, v, 0)",
			func(l int) int { return l ^ boolInt(l < 16) }},
		{"__syncthreads_count(lane < 4)", func(int) int { return 8 }},
		{"__syncthreads_or(lane == 40)", func(int) int { return 0 }},
		{"__syncthreads_and(lane < 32)", func(int) int { return 1 }},
	}
	var source strings.Builder
	source.WriteString("extern \"C\" __global__ void k(float *x, int n) {\n int lane = threadIdx.x % 32, r = 0; float v = lane;\n")
	for _, test := range tests {
		source.WriteString("x[r++ * 64 + threadIdx.x] = (int)(" + test.expression + ") & 0xffffff;\n")
	}
	source.WriteString("}")
	Reversed(t, func(t *testing.T) {
		got := run(t, source.String(), 1, 64, 0, make([]float32, 64*len(tests)))
		for r, test := range tests {
			for i, v := range got[r*64 : r*64+64] {
				if want := test.want(i % 32); v != float32(want) {
					t.Errorf("%s of thread %d is %v, want %d", test.expression, i, v, want)
					break
				}
			}
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mma.sync with operands from ldmatrix, and with the layout that the PTX manual
// gives, against plain loops.
func TestTensorCores(t *testing.T) {
	Use(t)
	values := random(16*16 + 16*8 + 16*8)
	a, b, c := values[:256], values[256:384], values[384:]
	want := make([]float64, 128)
	for i := range 16 {
		for j := range 8 {
			want[i*8+j] = float64(c[i*8+j])
			for k := range 16 {
				want[i*8+j] += float64(a[i*16+k]) * float64(b[k*8+j])
			}
		}
	}
	fragments := map[string]string{
		"by hand": `
			#define PAIR(r, k) (sa[(r) * 16 + (k)] | (unsigned)sa[(r) * 16 + (k) + 1] << 16)
			#define COLUMN(k, n) (sb[(k) * 8 + (n)] | (unsigned)sb[((k) + 1) * 8 + (n)] << 16)
			unsigned fa[4] = {PAIR(g, 2 * t), PAIR(g + 8, 2 * t), PAIR(g, 2 * t + 8), PAIR(g + 8, 2 * t + 8)};
			unsigned fb[2] = {COLUMN(2 * t, g), COLUMN(2 * t + 8, g)};`,
		"by ldmatrix": `
			unsigned fa[4], fb[2];
			emu_ldmatrix_x4(fa, sa + (lane % 16) * 16 + lane / 16 * 8);
			emu_ldmatrix_x2_trans(fb, sb + lane % 16 * 8);`,
		"by ldmatrix of the transpose": `
			__shared__ __align__(16) unsigned short st[8 * 16];
			unsigned fa[4], fb[2], f4[4];
			for (int i = lane; i < 128; i += 32) st[i % 8 * 16 + i / 8] = sb[i];
			__syncwarp();
			emu_ldmatrix_x2(fb, st + lane % 8 * 16 + lane / 8 % 2 * 8);
			__syncwarp();
			for (int i = lane; i < 256; i += 32) { unsigned short v = sa[i]; __syncwarp(); sa[i] = v; }
			__syncwarp();
			emu_ldmatrix_x4(fa, sa + (lane % 16) * 16 + lane / 16 * 8);
			emu_ldmatrix_x4_trans(f4, sb + lane % 16 * 8);
			if (f4[0] != f4[2]) fb[0] = 0;`,
	}
	for name, load := range fragments {
		t.Run(name, func(t *testing.T) {
			Reversed(t, func(t *testing.T) {
				got := run(t, `extern "C" __global__ void k(float *x, int n) {
					__shared__ __align__(16) unsigned short sa[256], sb[128];
					int lane = threadIdx.x, g = lane / 4, t = lane % 4;
					for (int i = lane; i < 256; i += 32) sa[i] = emu_bf16_bits(x[i]);
					for (int i = lane; i < 128; i += 32) sb[i] = emu_bf16_bits(x[256 + i]);
					__syncwarp();`+load+`
					float *c = x + 384, d[4] = {c[g * 8 + 2 * t], c[g * 8 + 2 * t + 1], c[(g + 8) * 8 + 2 * t], c[(g + 8) * 8 + 2 * t + 1]};
					emu_mma_m16n8k16_bf16(d, fa, fb, d);
					c[g * 8 + 2 * t] = d[0], c[g * 8 + 2 * t + 1] = d[1], c[(g + 8) * 8 + 2 * t] = d[2], c[(g + 8) * 8 + 2 * t + 1] = d[3];
				}`, 1, 32, 0, values)
				for i, w := range want {
					if math.Abs(float64(got[384+i])-w) > 1e-5 {
						t.Fatalf("element %d is %v, want %v", i, got[384+i], w)
					}
				}
			})
		})
	}
}

func TestTensorCoresTF32(t *testing.T) {
	Use(t)
	values := random(16*8 + 8*8 + 16*8)
	got := run(t, `extern "C" __global__ void k(float *x, int n) {
		int g = threadIdx.x / 4, t = threadIdx.x % 4;
		float *a = x, *b = x + 128, *c = x + 192, d[4] = {};
		unsigned fa[4] = {emu_tf32_bits(a[g * 8 + t]), emu_tf32_bits(a[(g + 8) * 8 + t]), emu_tf32_bits(a[g * 8 + t + 4]), emu_tf32_bits(a[(g + 8) * 8 + t + 4])};
		unsigned fb[2] = {emu_tf32_bits(b[t * 8 + g]), emu_tf32_bits(b[(t + 4) * 8 + g])};
		emu_mma_m16n8k8_tf32(d, fa, fb, d);
		c[g * 8 + 2 * t] = d[0], c[g * 8 + 2 * t + 1] = d[1], c[(g + 8) * 8 + 2 * t] = d[2], c[(g + 8) * 8 + 2 * t + 1] = d[3];
	}`, 1, 32, 0, values)
	for i := range 16 {
		for j := range 8 {
			want := 0.0
			for k := range 8 {
				want += float64(values[i*8+k]) * float64(values[128+k*8+j])
			}
			if math.Abs(float64(got[192+i*8+j])-want) > 1e-5 {
				t.Errorf("element %d,%d is %v, want %v", i, j, got[192+i*8+j], want)
			}
		}
	}
}

// Copies arrive when their group is waited for, not before, with zeros beyond
// their valid bytes.
func TestAsynchronousCopies(t *testing.T) {
	Use(t)
	Reversed(t, func(t *testing.T) {
		got := run(t, `extern "C" __global__ void k(float *x, int n) {
			__shared__ __align__(16) float s[3][4];
			for (int i = 0; i < 12; i++) (&s[0][0])[i] = 7;
			emu_cp_async16(s[0], x, 16);
			emu_cp_async_commit();
			emu_cp_async16(s[1], x + 4, 8);
			emu_cp_async_commit();
			float early = s[0][0];
			emu_cp_async_wait(1);
			float first = s[0][0], second = s[1][0];
			emu_cp_async_wait(0);
			x[8] = early, x[9] = first, x[10] = second, x[11] = s[1][1], x[12] = s[1][2], x[13] = s[2][0];
		}`, 1, 1, 0, []float32{1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0})[8:]
		nan := math.IsNaN(float64(got[0])) && math.IsNaN(float64(got[2]))
		if !nan || got[1] != 1 || got[3] != 6 || got[4] != 0 || got[5] != 7 {
			t.Errorf("early %v, first %v, second %v, then %v", got[0], got[1], got[2], got[3:])
		}
	})
}

// A kernel's results do not depend on how many CPU threads run its blocks, nor
// does shared memory of one block reach another.
func TestBlocksAreApart(t *testing.T) {
	Use(t)
	got := run(t, `extern "C" __global__ void k(float *x, int n) {
		__shared__ float s;
		extern __shared__ float e[];
		float seen = s != s && e[0] != e[0];
		__syncthreads();
		s = e[0] = blockIdx.x;
		x[blockIdx.x] = seen ? s : -1;
	}`, 500, 1, 4, make([]float32, 500))
	if !same(got, upTo(500)) {
		t.Errorf("got %v", got)
	}
}

func TestAtomics(t *testing.T) {
	Use(t)
	got := run(t, `__device__ int calls;
	extern "C" __global__ void k(float *x, int n) {
		__shared__ int mine;
		if (threadIdx.x == 0) mine = 0;
		__syncthreads();
		atomicAdd(&mine, 1);
		atomicMax((int *)x + 1, (int)(blockIdx.x * blockDim.x + threadIdx.x));
		atomicAdd(&calls, 1);
		__syncthreads();
		if (threadIdx.x == 0 && atomicCAS((int *)x + 3, 0, 5) == 0) x[2] = mine;
		if (threadIdx.x == 0) atomicAdd(x, 1.0f);
	}`, 100, 64, 0, make([]float32, 4))
	if got[0] != 100 || math.Float32bits(got[1]) != 6399 || got[2] != 64 || math.Float32bits(got[3]) != 5 {
		t.Errorf("got %v", got)
	}
}

// Kernels that macros define are found, and constants and functions of the source
// are seen; an error of the compiler names the line.
func TestSources(t *testing.T) {
	Use(t)
	got := run(t, `
	enum { THREADS = 32 };
	#define KERNEL(name, value) extern "C" __global__ void __launch_bounds__(THREADS, 2) name(float *x, int n) { x[threadIdx.x] = value; }
	__constant__ float two = 2;
	template <class T> __device__ __forceinline__ T twice(T v) { return two * v; }
	KERNEL(other, 0)
	KERNEL(k, twice(x[threadIdx.x]))
	// __global__ void not_a_kernel(
	`, 1, 32, 0, upTo(32))
	if got[31] != 62 {
		t.Errorf("got %v", got)
	}
	d := open(t, true)
	defer func() {
		e, _ := recover().(error)
		if e == nil || !strings.Contains(e.Error(), "wrong.cu:3") || !strings.Contains(e.Error(), "nonsense") {
			t.Errorf("got %v", e)
		}
	}()
	d.Kernel("wrong", "\n#line 2 \"wrong.cu\"\nextern \"C\" __global__ void k() {\n  nonsense = 1;\n}", "k")
}
