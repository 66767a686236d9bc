package secrets_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

// running are an API and two workers with these keys; each seals with the key that is marked by *, else with its first one.
func running(keys ...string) (processes []provision.Process) {
	for i, text := range keys {
		p := provision.Process{Kind: provision.ProcessWorker, Host: "h", PID: i}
		if i == 0 {
			p.Kind = provision.ProcessAPI
		}
		for name := range strings.SplitSeq(text, ",") {
			name, seals := strings.CutSuffix(name, "*")
			if !strings.Contains(name, ":") {
				name += ":same"
			}
			p.Keys = append(p.Keys, name)
			if seals || p.SealsWith == "" {
				p.SealsWith = name
			}
		}
		processes = append(processes, p)
	}
	return processes
}

func TestTheNextSafeStepIsSaid(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	const day = 24 * time.Hour
	used := func(id string, since time.Duration, more ...func(*secrets.KeyStatus)) secrets.KeyStatus {
		k := secrets.KeyStatus{SealKeyUse: provision.SealKeyUse{ID: id, LastUsedAt: ago(since)}}
		for _, change := range more {
			change(&k)
		}
		return k
	}
	rows := func(k *secrets.KeyStatus) { k.Passwords, k.WebhookSecrets = 3, 1 }
	open := func(k *secrets.KeyStatus) { k.OpenOrders = 12 }
	others := func(k *secrets.KeyStatus) { k.OpenWorkflows = 2 }
	for what, c := range map[string]struct {
		processes []provision.Process
		keys      []secrets.KeyStatus
		next      string
		listed    string
	}{
		"nothing runs": {nil, []secrets.KeyStatus{used("k1", 0, rows)},
			"No API and no worker runs: start them, with the same QM_SEAL_KEYS.", "k1"},
		"one key": {running("k1", "k1", "k1"), []secrets.KeyStatus{used("k1", 0, rows, open)},
			"k1 is known everywhere and seals.", "k1"},
		"known by some": {running("k2,k1*", "k1", "k1"), []secrets.KeyStatus{used("k1", 0)},
			"k2 is known by 1 of 3 processes and seals nothing yet: put it in front of QM_SEAL_KEYS of worker h/1 and worker h/2 " +
				"and restart them, or take it back from the others.", "k1 k2"},
		"known by all since a moment": {running("k2,k1*", "k2,k1", "k2,k1*"), []secrets.KeyStatus{used("k1", 0), used("k2", 0)},
			"k2 is known everywhere and seals within seconds.", "k1 k2"},
		"at work, and the old one is needed": {
			running("k2,k1", "k2,k1"), []secrets.KeyStatus{used("k1", time.Hour, rows, open, others), used("k2", 0)},
			"k2 is known everywhere and seals. k1 may be removed after 2026-12-02 12:00 UTC at the earliest: " +
				"it is still needed by 3 passwords, 1 webhook secret, 12 open orders and 2 other open workflows " +
				"(run `quartermaster seal-keys reseal` for what is at rest).", "k1 k2",
		},
		"only histories need it": {
			running("k2,k1", "k2,k1"),
			[]secrets.KeyStatus{
				used("k1", 2*day, func(k *secrets.KeyStatus) { k.LastClosedAt = ago(day) }), used("k2", 0),
			},
			"k2 is known everywhere and seals. k1 may be removed after 2026-12-01 12:00 UTC: " +
				"until then links to passwords, and closed workflows that Temporal keeps, may need it.", "k1 k2",
		},
		"nothing needs it": {running("k2,k1", "k2,k1"), []secrets.KeyStatus{used("k1", 8*day), used("k2", 0)},
			"k2 is known everywhere and seals. k1 may be removed: nothing needs it any more.", "k1 k2"},
		"removed": {running("k2", "k2"), []secrets.KeyStatus{used("k1", 8*day), used("k2", 0)},
			"k2 is known everywhere and seals.", "k2"},
		"removed too early": {running("k2", "k2,k1"), []secrets.KeyStatus{used("k1", 8*day, open), used("k2", 0)},
			"k2 is known everywhere and seals. k1 is still needed by 12 open orders and missing in api h/0: " +
				"put it back, behind the first key of QM_SEAL_KEYS.", "k1 k2"},
		"rolled back": {running("k1", "k1"), []secrets.KeyStatus{used("k1", 0), used("k2", time.Minute, open)},
			"k1 is known everywhere and seals. k2 is still needed by 12 open orders and missing in api h/0 and worker h/1: " +
				"put it back, behind the first key of QM_SEAL_KEYS.", "k1 k2"},
		"behind the first": {running("k1,k2", "k1"), []secrets.KeyStatus{used("k1", 0)},
			"k1 is known everywhere and seals. k2 is known by 1 of 2 processes and seals nothing: " +
				"put it in front of QM_SEAL_KEYS when every process has it, or take it away.", "k1 k2"},
		"two in front": {running("k1,k2", "k2,k1"), []secrets.KeyStatus{used("k1", 0), used("k2", 0)},
			"k1 and k2 are known everywhere, and processes disagree which seals: " +
				"put the same key in front of QM_SEAL_KEYS everywhere.", "k1 k2"},
		"nothing in common": {running("k1", "k2"), []secrets.KeyStatus{used("k1", 0), used("k2", 0)},
			"No key is known everywhere, so some processes cannot open what others seal: worker h/1 lacks k1, api h/0 lacks k2. " +
				"Give all of them the same QM_SEAL_KEYS and restart them.", "k1 k2"},
		"one id, two keys": {running("k1:one", "k1:two"), []secrets.KeyStatus{used("k1", 0)},
			"Processes have different keys under the id k1: give each key its own id, and restart those that have the wrong one.", "k1"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := secrets.RotationOf(c.processes, c.keys, 7*day, now)
			require.Equal(t, c.next, r.Next)
			var ids []string
			for _, k := range r.Keys {
				ids = append(ids, k.ID)
			}
			require.Equal(t, c.listed, strings.Join(ids, " "))
		})
	}

	r := secrets.RotationOf(running("k2,k1*", "k1", "k1"), []secrets.KeyStatus{used("k1", 0)}, 7*day, now)
	require.Equal(t, 3, r.Keys[0].KnownBy)
	require.Equal(t, []string{"api h/0", "worker h/1", "worker h/2"}, r.Keys[0].SealsIn)
	require.Empty(t, r.Keys[0].LackedBy)
	require.Nil(t, r.Keys[0].RemovableAfter, "it seals")
	require.Equal(t, 1, r.Keys[1].KnownBy)
	require.Equal(t, []string{"worker h/1", "worker h/2"}, r.Keys[1].LackedBy)
	require.Empty(t, r.Keys[1].SealsIn)
}
