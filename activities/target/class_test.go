package target

import (
	"regexp"
	"testing"
)

func TestClass(t *testing.T) {
	for _, c := range []struct {
		cpuinfo string
		cores   int
		set     string
		want    string
	}{
		{"processor\t: 0\nmodel name\t: AMD EPYC 9754 128-Core Processor\nprocessor\t: 1\nmodel name\t: other\n", 2, "avx512", "cpu/amd-epyc-9754/2c/avx512"},
		{"model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz\n", 16, "avx512", "cpu/intel-xeon-platinum-8481c/16c/avx512"},
		{"model name : Intel(R) Core(TM) i5-6500 CPU @ 3.20GHz\ncpu MHz : 1234.5\n", 4, "avx2", "cpu/intel-core-i5-6500/4c/avx2"},
		{"processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", 1, "arm64", "cpu/arm-0x41-0xd0c/1c/arm64"},
		{"cpu\t\t: POWER9, altivec supported\n", 1, "ppc64le", "cpu/power9-altivec-supported/1c/ppc64le"},
		{"", 0, "arm64", "cpu/unknown/1c/arm64"},
		{"model name : \x1b[31m/../\u202e\n", 1, "avx2", "cpu/31m/1c/avx2"},
	} {
		if got := classOf(modelOf(c.cpuinfo), c.cores, c.set); got != c.want {
			t.Errorf("%q gave %s, want %s", c.cpuinfo, got, c.want)
		}
	}
	if got := classOf("Apple M3 Pro", 6, "arm64"); got != "cpu/apple-m3-pro/6c/arm64" {
		t.Error(got)
	}
	if here := CPUClass(2); here != CPUClass(2) || !regexp.MustCompile(`^cpu/[a-z0-9.-]+/2c/[a-z0-9]+$`).MatchString(here) {
		t.Errorf("this machine is %s", here)
	}
}
