package workflows_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/autoresearch-go/autoresearch/workflows"
	"github.com/autoresearch-go/autoresearch/workflows/double"
)

// badPost loses some of the messages between a campaign and its experiments and
// delivers others twice. Its senders are told that all is well.
type badPost struct {
	interceptor.WorkerInterceptorBase
	random *rand.Rand
	stats  map[string]int // "ready lost"
}

func (p *badPost) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &badPostIn{interceptor.WorkflowInboundInterceptorBase{Next: next}, p}
}

type badPostIn struct {
	interceptor.WorkflowInboundInterceptorBase
	post *badPost
}

func (in *badPostIn) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return in.Next.Init(&badPostOut{interceptor.WorkflowOutboundInterceptorBase{Next: next}, in.post})
}

type badPostOut struct {
	interceptor.WorkflowOutboundInterceptorBase
	post *badPost
}

func (out *badPostOut) SignalExternalWorkflow(ctx workflow.Context, id, run, name string, arg any) workflow.Future {
	switch out.post.random.IntN(3) {
	case 0:
		out.post.stats[name+" lost"]++
		future, settable := workflow.NewFuture(ctx)
		settable.Set(nil, nil)
		return future
	case 1:
		out.post.stats[name+" twice"]++
		out.Next.SignalExternalWorkflow(ctx, id, run, name, arg)
	}
	return out.Next.SignalExternalWorkflow(ctx, id, run, name, arg)
}

// Whatever gets lost or comes twice, each experiment is decided once and no
// campaign hangs.
func TestBadPost(t *testing.T) {
	stats := map[string]int{}
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			c := newCampaign(t, &double.Double{})
			c.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{
				&badPost{random: rand.New(rand.NewPCG(seed, 0)), stats: stats},
			}})
			c.trainFor(time.Minute)
			start := c.Now()
			best, err := c.run(oneSeed(5))
			require.NoError(t, err)
			require.Equal(t, 5, best.Experiments)
			for n := range 6 {
				require.Equal(t, 1, count(c.d.Calls(), fmt.Sprintf("decide %d/", n)))
			}
			require.Less(t, c.Now().Sub(start), 24*time.Hour)
		})
	}
	for _, name := range []string{workflows.SignalReady, workflows.SignalOrder, workflows.SignalReport} {
		require.NotZero(t, stats[name+" lost"], name)
		require.NotZero(t, stats[name+" twice"], name)
	}
}
