package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

func process(kind provision.ProcessKind, host string, keys ...string) provision.Process {
	return provision.Process{ID: uuid.NewString(), Kind: kind, Host: host, PID: 7, Version: "abc", Keys: keys, SealsWith: keys[0]}
}

func announce(t *testing.T, store *postgres.DB, p provision.Process) (others []string) {
	t.Helper()
	found, err := store.Processes.Announce(t.Context(), p, nil)
	require.NoError(t, err)
	for _, other := range found {
		others = append(others, other.String())
	}
	return others
}

func TestProcessesSeeEachOtherWhileTheyLive(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	one, two, three := process(provision.ProcessAPI, "a", "k1:1"), process(provision.ProcessWorker, "b", "k2:2", "k1:1"), process(provision.ProcessWorker, "c", "k1:1")
	require.Empty(t, announce(t, store, one))
	require.Equal(t, []string{"api a/7"}, announce(t, store, two))
	require.Equal(t, []string{"api a/7", "worker b/7"}, announce(t, store, three))

	live, err := store.Processes.List(ctx)
	require.NoError(t, err)
	require.Len(t, live, 3)
	require.Equal(t, two.Keys, live[1].Keys)
	require.Equal(t, "k2:2", live[1].SealsWith)
	require.Equal(t, "abc", live[1].Version)
	require.WithinDuration(t, live[1].StartedAt, live[1].SeenAt, time.Minute)
	two.SealsWith = "k1:1"
	announce(t, store, two)
	live, err = store.Processes.List(ctx)
	require.NoError(t, err)
	require.Equal(t, "k1:1", live[1].SealsWith)
	require.True(t, live[1].SeenAt.After(live[1].StartedAt))

	// One stops in order, one stops without a word.
	require.NoError(t, store.Processes.Remove(ctx, one.ID))
	require.NoError(t, store.Processes.Remove(ctx, one.ID), "a repeat does nothing")
	_, err = db.ExecContext(ctx, `UPDATE processes SET seen_at = now() - interval '31 seconds' WHERE id = $1`, two.ID)
	require.NoError(t, err)
	require.Empty(t, announce(t, store, three))
	require.Equal(t, []string{"worker c/7"}, announce(t, store, two), "it was only away")

	_, err = db.ExecContext(ctx, `UPDATE processes SET seen_at = now() - interval '25 hours' WHERE id = $1`, two.ID)
	require.NoError(t, err)
	announce(t, store, three)
	var rows int
	require.NoError(t, db.GetContext(ctx, &rows, `SELECT count(*) FROM processes`))
	require.Equal(t, 1, rows, "what is long dead is forgotten")
}
