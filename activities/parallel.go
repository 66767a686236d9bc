package activities

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// parallelCalls is how many calls one attempt sends at a time. The limits of each account (awscloud.Limits) hold besides.
const parallelCalls = 8

// inParallel runs functions in parallel and returns the error of the first in the list that failed. It lets all of them end, so that
// the error does not depend on which of them was faster.
func inParallel(ctx context.Context, functions ...func(context.Context) error) error {
	errs := make([]error, len(functions))
	var running errgroup.Group
	running.SetLimit(parallelCalls)
	for i, function := range functions {
		running.Go(func() error {
			errs[i] = function(ctx)
			return nil
		})
	}
	_ = running.Wait() // the errors are in errs
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
