package webhooks

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABurstOfHintsWakesEachProviderOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hints := make(chan string)
		woken := map[string]int{}
		wake := func(_ context.Context, provider string) error {
			woken[provider]++
			if provider == "globex" {
				return errors.New("the database is away")
			}
			return nil
		}
		var log bytes.Buffer
		ctx, stop := context.WithCancel(t.Context())
		go WakeOnHints(ctx, hints, wake, slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 {
			hints <- "acme"
			hints <- "globex"
		}
		time.Sleep(gatherHints) //nolint:forbidigo // the clock of the bubble
		synctest.Wait()
		require.Equal(t, map[string]int{"acme": 1, "globex": 1}, woken)
		require.Contains(t, log.String(), `provider=globex error="the database is away"`)

		hints <- "acme"
		time.Sleep(gatherHints) //nolint:forbidigo // the clock of the bubble
		synctest.Wait()
		require.Equal(t, 2, woken["acme"])
		stop()
		synctest.Wait()
	})
}
