package main

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

// Payloads are sealed, so gzip would only cost time.
func TestCallsToTemporalAreNotCompressed(t *testing.T) {
	t.Parallel()
	var used client.Options
	_, err := connectTemporal(&env{ctx: t.Context(), log: slog.New(slog.DiscardHandler)}, nil, func(options client.Options) (client.Client,
		error) {
		used = options
		return nil, errors.New("the test connects to nothing")
	})
	require.Error(t, err)
	require.IsType(t, &client.GrpcCompressionNone{}, used.ConnectionOptions.GrpcCompression)
}
