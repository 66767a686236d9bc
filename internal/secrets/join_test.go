package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

// town is a registry in memory.
type town struct {
	mu   sync.Mutex
	live map[string]provision.Process
	used map[string]time.Duration
	down error
}

func (w *town) Announce(_ context.Context, p provision.Process, used map[string]time.Duration) (others []provision.Process, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down != nil {
		return nil, w.down
	}
	p.SeenAt = time.Now()
	w.live[p.ID], w.used = p, used
	for id, other := range w.live {
		if id != p.ID && time.Since(other.SeenAt) < provision.ProcessLifetime {
			others = append(others, other)
		}
	}
	return others, nil
}

func (w *town) Remove(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live, id)
	return w.down
}

// stranger is a process that announces itself only here.
func (w *town) stranger(id string, keys ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live[id] = provision.Process{ID: id, Kind: provision.ProcessWorker, Host: id, PID: 1, Keys: keys, SeenAt: time.Now()}
}

// away makes the registry answer nothing but the error.
func (w *town) away(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = err
}

func (w *town) join(t *testing.T, id string, r *secrets.Ring) (leave func(), log *bytes.Buffer) {
	t.Helper()
	log = &bytes.Buffer{}
	process := provision.Process{ID: id, Kind: provision.ProcessAPI, Host: "here", PID: 2}
	leave, err := r.Join(t.Context(), w, process, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	return leave, log
}

// pass lets time pass, and the processes do what they do then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestANewKeySealsWhenTheLastProcessHasIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
		old, fresh := ring(t, k1), ring(t, k2, k1)
		w := &town{live: map[string]provision.Process{}}
		w.stranger("old", old.Names()...)
		leave, log := w.join(t, "me", fresh)
		require.Equal(t, old.Active(), fresh.Active(), "before it has sealed anything")
		require.Equal(t, old.Active(), w.live["me"].SealsWith)
		require.Equal(t, fresh.Names(), w.live["me"].Keys)
		require.Empty(t, w.used)
		_, err := fresh.Seal(nil, "p")
		require.NoError(t, err)

		// The last process without the key stops: one without a word, so it counts for a while.
		w.stranger("old", fresh.Names()...)
		pass(6 * time.Second)
		require.Equal(t, fresh.Names()[0], fresh.Active())
		require.Equal(t, fresh.Active(), w.live["me"].SealsWith, "it says so at once")
		require.Contains(t, log.String(), "seals with another key")
		require.Len(t, w.used, 1)
		require.InDelta(t, 5, w.used["k1"].Seconds(), 1)

		// A rollback: a process comes that has only the old key.
		w.stranger("rolled back", old.Names()...)
		pass(6 * time.Second)
		require.Equal(t, old.Active(), fresh.Active())
		pass(time.Minute)
		require.Equal(t, fresh.Names()[0], fresh.Active(), "it was killed")
		leave()
		require.NotContains(t, w.live, "me")
		require.NotContains(t, log.String(), "level=ERROR")
		require.NotContains(t, log.String(), "level=WARN")
	})
}

func TestNoCommonKeyIsSaidLoudly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := ring(t, secrets.GenerateKey("k2")), ring(t, secrets.GenerateKey("k1"))
		w := &town{live: map[string]provision.Process{}}
		leaveOther, _ := w.join(t, "other", theirs)
		leave, log := w.join(t, "me", mine)
		defer leave()
		pass(10 * time.Minute)
		require.Contains(t, log.String(), "level=ERROR")
		require.Contains(t, log.String(), `key=k2 lacked_by="api here/2"`)
		require.InDelta(t, 10, strings.Count(log.String(), "level=ERROR"), 1, "one line a minute")
		require.Equal(t, mine.Names()[0], mine.Active())
		leaveOther()
		pass(time.Minute)
		said := strings.Count(log.String(), "level=ERROR")
		pass(10 * time.Minute)
		require.Equal(t, said, strings.Count(log.String(), "level=ERROR"))
	})
}

func TestWhileTheDatabaseIsAwayTheLastAnswerCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := secrets.GenerateKey("k1"), secrets.GenerateKey("k2")
		old, fresh := ring(t, k1), ring(t, k2, k1)
		w := &town{live: map[string]provision.Process{}, down: errors.New("away")}
		_, err := fresh.Join(t.Context(), w, provision.Process{ID: "me"}, slog.New(slog.DiscardHandler))
		require.ErrorIs(t, err, w.down, "a process that cannot announce itself seals nothing")

		w.away(nil)
		w.stranger("old", old.Names()...)
		leave, log := w.join(t, "me", fresh)
		defer leave()
		w.away(errors.New("away"))
		pass(time.Hour)
		require.Equal(t, old.Active(), fresh.Active())
		require.InDelta(t, 60, strings.Count(log.String(), "level=WARN"), 2, "one line a minute")

		// The database is back, and this process is the first that finds out: the other one lives all the same.
		w.away(nil)
		pass(30 * time.Second)
		require.Equal(t, old.Active(), fresh.Active())
		pass(10 * time.Second)
		require.Equal(t, fresh.Names()[0], fresh.Active(), "the other one had its time")

		// After an outage, too, what a process that is there cannot open is not sealed.
		w.away(errors.New("away"))
		pass(time.Minute)
		w.away(nil)
		w.stranger("rolled back", old.Names()...)
		pass(6 * time.Second)
		require.Equal(t, old.Active(), fresh.Active())
	})
}
