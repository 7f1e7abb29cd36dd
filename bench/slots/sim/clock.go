package sim

import (
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
)

// clock makes activities take virtual time: it sleeps in the workflow before
// each, and tells the watch when they begin and end. The environment's own way,
// a mock for each duration, is slow for hundreds of them. All workflows of an
// environment take turns, so nothing here needs a lock.
type clock struct {
	interceptor.WorkerInterceptorBase
	lasts func(input any) time.Duration
	watch *watch
}

func (c *clock) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &inbound{interceptor.WorkflowInboundInterceptorBase{Next: next}, c}
}

type inbound struct {
	interceptor.WorkflowInboundInterceptorBase
	clock *clock
}

func (in *inbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	return in.Next.Init(&outbound{interceptor.WorkflowOutboundInterceptorBase{Next: next}, in.clock})
}

type outbound struct {
	interceptor.WorkflowOutboundInterceptorBase
	clock *clock
}

// ExecuteActivity is a sleep and then the activity.
func (out *outbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	future, settable := workflow.NewFuture(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		done := out.clock.watch.begin(workflow.Now(ctx), args[0])
		if err := workflow.Sleep(ctx, out.clock.lasts(args[0])); err != nil {
			settable.SetError(err)
			return
		}
		activity := out.Next.ExecuteActivity(ctx, name, args...)
		_ = activity.Get(ctx, nil)
		done(workflow.Now(ctx), func(v any) error { return activity.Get(ctx, v) })
		settable.Chain(activity)
	})
	return future
}
