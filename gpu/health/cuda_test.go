//go:build cuda

package health_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/autoresearch-go/autoresearch/gpu"
	"github.com/autoresearch-go/autoresearch/gpu/emulated"
	"github.com/autoresearch-go/autoresearch/gpu/health"
)

func TestMain(m *testing.M) { os.Exit(m.Run()) }

func TestSelfTest(t *testing.T) {
	emulated.Use(t)
	r, err := health.SelfTest("", "")
	require.NoError(t, err)
	require.LessOrEqual(t, r.Size, 2048, "a processor is slow")
	require.Positive(t, r.TFLOPS)
	_, err = health.SelfTest("GPU-none", "")
	var e *gpu.Error
	require.ErrorAs(t, err, &e)
}
