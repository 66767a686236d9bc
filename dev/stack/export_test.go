package stack

import "context"

// FreePort returns a loopback port that no one listens on.
func FreePort(ctx context.Context) (int, error) { return freePort(ctx, 0, false) }
