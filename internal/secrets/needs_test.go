package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

// uses are the keys that the database knows.
type uses []provision.SealKeyUse

func (u uses) List(context.Context) ([]provision.SealKeyUse, error) { return u, nil }

// startedWorkflows is what Temporal answers for every time before now.
type startedWorkflows struct {
	provision.StartedWorkflows
	err error
}

func (s startedWorkflows) StartedBefore(_ context.Context, at time.Time) (provision.StartedWorkflows, error) {
	if at.After(time.Now().Add(time.Minute)) {
		return provision.StartedWorkflows{}, errors.New("a time in the future")
	}
	return s.StartedWorkflows, s.err
}

func TestAKeyIsNeededByWhatTheDatabaseAndTemporalHold(t *testing.T) {
	t.Parallel()
	used, closed := time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
	database := uses{
		{ID: "k1", LastUsedAt: &used, Passwords: 1, OpenOrders: 3},
		{ID: "k2", WebhookSecrets: 2}, // when it was last used is unknown
	}
	temporal := startedWorkflows{StartedWorkflows: provision.StartedWorkflows{OpenOrders: 4, OpenOthers: 1, LastClosedAt: &closed}}
	keys, err := secrets.Statuses(t.Context(), database, temporal)
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, "1 password, 4 open orders and 1 other open workflow", keys[0].Needed())
	require.Equal(t, &closed, keys[0].LastClosedAt)
	require.Equal(t, "2 webhook secrets", keys[1].Needed())
}

func TestAProcessLogsTheKeysThatItLacks(t *testing.T) {
	t.Parallel()
	ring, err := secrets.ParseRing(secrets.GenerateKey("k2"))
	require.NoError(t, err)
	logged := func(temporal startedWorkflows, keys ...provision.SealKeyUse) string {
		var log bytes.Buffer
		ring.LogMissing(t.Context(), uses(keys), temporal, slog.New(slog.NewTextHandler(&log, nil)))
		return log.String()
	}
	used := time.Now()
	require.Empty(t, logged(startedWorkflows{}, provision.SealKeyUse{ID: "k2", LastUsedAt: &used, OpenOrders: 1}), "it has the key")
	require.Empty(t, logged(startedWorkflows{}, provision.SealKeyUse{ID: "k1", LastUsedAt: &used}), "nothing needs the key")
	started := provision.StartedWorkflows{OpenOrders: 1, OpenOthers: 1}
	lacks := logged(startedWorkflows{StartedWorkflows: started}, provision.SealKeyUse{ID: "k1", LastUsedAt: &used})
	require.Contains(t, lacks, "level=ERROR")
	require.Contains(t, lacks, `key=k1 needed_by="1 open order and 1 other open workflow"`)
	failed := logged(startedWorkflows{err: errors.New("no connection")}, provision.SealKeyUse{ID: "k1", LastUsedAt: &used})
	require.Contains(t, failed, "level=WARN")
}
