package workers

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A slot asks for a run only when it has none in hand and is vacant.
func TestVacancy(t *testing.T) {
	taken := make(chan struct{})
	v := &vacancy{vacant: func() <-chan struct{} { return taken }}
	tuner, err := v.tuner()
	require.NoError(t, err)
	s := tuner.GetActivityTaskSlotSupplier()
	require.Equal(t, 1, s.MaxSlots())

	stopping, stop := context.WithCancel(t.Context())
	stop()
	_, err = s.ReserveSlot(stopping, nil)
	require.ErrorIs(t, err, context.Canceled, "the slot is taken")

	reserved := make(chan error)
	reserve := func(ctx context.Context) { _, err := s.ReserveSlot(ctx, nil); reserved <- err }
	waits := func(why string) {
		select {
		case <-reserved:
			t.Fatal(why)
		case <-time.After(20 * time.Millisecond):
		}
	}
	go reserve(t.Context())
	waits("the slot is taken")
	close(taken)
	require.NoError(t, <-reserved, "it became vacant")

	_, err = s.ReserveSlot(stopping, nil)
	require.ErrorIs(t, err, context.Canceled, "one is in hand")
	require.Nil(t, s.TryReserveSlot(nil))
	go reserve(t.Context())
	waits("one is in hand")
	s.ReleaseSlot(nil)
	require.NoError(t, <-reserved, "nothing is in hand")
}
