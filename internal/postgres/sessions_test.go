package postgres_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

func session(token, keyID string) provision.Session {
	hash := sha256.Sum256([]byte(token))
	s := provision.Session{
		Hash: hash[:], KeyID: keyID, Grants: []provision.Grant{{Provider: "acme", Role: provision.RoleOperator}},
		SignedInAt: time.Now().Truncate(time.Microsecond), EndsAt: time.Now().Add(time.Hour).Truncate(time.Microsecond),
	}
	if keyID == "" {
		s.Person = provision.Person{Issuer: "https://login.example", Subject: "00u1", Name: "anna@acme.example"}
	}
	return s
}

func TestASessionLivesUntilItIsEnded(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	started := session("a", "")
	started.Grants = append(started.Grants, provision.Grant{Provider: "other", Role: provision.RoleMarketplace,
		Marketplaces: []string{"north"}})
	require.NoError(t, store.Sessions.Start(ctx, started, time.Time{}))
	found, err := store.Sessions.Find(ctx, started.Hash)
	require.NoError(t, err)
	require.Equal(t, started.Grants, found.Grants)
	require.Equal(t, started.Person, found.Person)
	require.True(t, started.EndsAt.Equal(found.EndsAt))
	who, ok := found.Principal("other")
	require.True(t, ok)
	require.Equal(t, []string{"north"}, who.Grant.Marketplaces)
	_, ok = found.Principal("third")
	require.False(t, ok)

	require.NoError(t, store.Sessions.NoteUse(ctx, started.Hash, started.SeenAt))
	later := started.SignedInAt.Add(time.Minute)
	require.NoError(t, store.Sessions.NoteUse(ctx, started.Hash, later))
	found, err = store.Sessions.Find(ctx, started.Hash)
	require.NoError(t, err)
	require.True(t, later.Equal(found.SeenAt), found.SeenAt)

	require.NoError(t, store.Sessions.End(ctx, started.Actor(), started.Hash))
	_, err = store.Sessions.Find(ctx, started.Hash)
	require.ErrorIs(t, err, provision.ErrNotFound)
	var what []string
	require.NoError(t, db.Select(&what, `SELECT what FROM access_history WHERE provider = 'other' AND actor = $1 ORDER BY seq`,
		started.Actor()))
	require.Equal(t, []string{"signed_in", "signed_out"}, what, "the history of each provider has it")
}

func TestASignInSweepsSessionsThatRanOut(t *testing.T) {
	t.Parallel()
	ctx, store, db := setup(t)
	over, idle, fresh := session("over", ""), session("idle", ""), session("fresh", "")
	over.EndsAt = time.Now().Add(-time.Second)
	idle.SignedInAt = time.Now().Add(-time.Hour)
	require.NoError(t, store.Sessions.Start(ctx, over, time.Time{}))
	require.NoError(t, store.Sessions.Start(ctx, idle, time.Time{}))
	_, err := store.Sessions.Find(ctx, over.Hash)
	require.ErrorIs(t, err, provision.ErrNotFound)
	require.NoError(t, store.Sessions.Start(ctx, fresh, time.Now().Add(-30*time.Minute)))
	var left int
	require.NoError(t, db.Get(&left, `SELECT count(*) FROM sessions`))
	require.Equal(t, 1, left)
	var ended int
	require.NoError(t, db.Get(&ended, `SELECT count(*) FROM access_history WHERE what = 'signed_out'`))
	require.Zero(t, ended, "no one signed out")
}

func TestASessionNeedsAnExistingKey(t *testing.T) {
	t.Parallel()
	ctx, store, _ := setup(t)
	require.ErrorIs(t, store.Sessions.Start(ctx, session("a", "000000000000"), time.Time{}), provision.ErrNotFound)
}
