package secrets

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"quartermaster/internal/provision"
)

// KeyStatus says how far a key is in its rotation: who has it, and what needs it.
type KeyStatus struct {
	provision.SealKeyUse
	KnownBy        int        `json:"known_by"`                  // how many live processes have it
	LackedBy       []string   `json:"lacked_by,omitempty"`       // live processes that do not
	SealsIn        []string   `json:"seals_in,omitempty"`        // live processes that seal with it
	OpenWorkflows  int        `json:"open_workflows"`            // that are no orders, started before it was used last
	LastClosedAt   *time.Time `json:"last_closed_at,omitempty"`  // when the last closed workflow that was started before then closed
	RemovableAfter *time.Time `json:"removable_after,omitempty"` // when nothing needs it any more, at the earliest; not of a key that seals
	Ambiguous      bool       `json:"ambiguous,omitempty"`       // processes have different keys of this id

	first bool // some process prefers it
}

// Needed says what still needs the key; empty: nothing that is open or at rest.
func (k KeyStatus) Needed() string {
	var needs []string
	for _, n := range []struct {
		count int
		what  string
	}{
		{k.Passwords, "password"}, {k.WebhookSecrets, "webhook secret"}, {k.KeptUndos, "kept undo"},
		{k.OpenOrders, "open order"}, {k.OpenWorkflows, "other open workflow"},
	} {
		if n.count == 1 {
			needs = append(needs, "1 "+n.what)
		} else if n.count > 1 {
			needs = append(needs, fmt.Sprintf("%d %ss", n.count, n.what))
		}
	}
	if len(needs) == 0 {
		return ""
	}
	return provision.JoinWords(needs, "and")
}

// Rotation is the state of all keys.
type Rotation struct {
	Processes []provision.Process `json:"processes"`
	Keys      []KeyStatus         `json:"keys"`
	Next      string              `json:"next"` // the next safe step
}

// RotationOf puts together what is known of the keys. Keys that no process has and nothing needs are left out. The retention is for
// how long Temporal keeps closed workflows.
func RotationOf(processes []provision.Process, keys []KeyStatus, retention time.Duration, now time.Time) Rotation {
	byID := map[string]*KeyStatus{}
	for _, k := range keys {
		byID[k.ID] = &k
	}
	names := map[string]string{} // by id
	for _, p := range processes {
		for i, name := range p.Keys {
			id := idOf(name)
			if byID[id] == nil {
				byID[id] = &KeyStatus{SealKeyUse: provision.SealKeyUse{ID: id}}
			}
			byID[id].KnownBy++
			byID[id].first = byID[id].first || i == 0
			byID[id].Ambiguous = byID[id].Ambiguous || names[id] != "" && names[id] != name
			names[id] = name
		}
	}
	r := Rotation{Processes: processes}
	for id, k := range byID {
		for _, p := range processes {
			if !slices.ContainsFunc(p.Keys, func(name string) bool { return idOf(name) == id }) {
				k.LackedBy = append(k.LackedBy, p.String())
			}
			if idOf(p.SealsWith) == id {
				k.SealsIn = append(k.SealsIn, p.String())
			}
		}
		if len(k.SealsIn) == 0 && !k.first {
			k.RemovableAfter = k.removable(retention, now)
		}
		if k.KnownBy > 0 || k.Needed() != "" || k.RemovableAfter != nil && k.RemovableAfter.After(now) {
			r.Keys = append(r.Keys, *k)
		}
	}
	slices.SortFunc(r.Keys, func(a, b KeyStatus) int { return strings.Compare(a.ID, b.ID) })
	r.Next = r.next(now)
	return r
}

// removable is when nothing needs a key any more that does not seal now: links that it signed are too old, and Temporal has
// forgotten the workflows of its time, whose histories the reconciler may have to read.
func (k *KeyStatus) removable(retention time.Duration, now time.Time) *time.Time {
	if k.LastUsedAt == nil {
		return nil
	}
	after := k.LastUsedAt.Add(max(provision.PasswordLifetime, retention))
	if k.OpenOrders+k.OpenWorkflows > 0 {
		after = latest(after, now.Add(retention))
	}
	if k.LastClosedAt != nil {
		after = latest(after, k.LastClosedAt.Add(retention))
	}
	return &after
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// next says the next safe step.
func (r Rotation) next(now time.Time) string {
	if len(r.Processes) == 0 {
		return "No API and no worker runs: start them, with the same QM_SEAL_KEYS."
	}
	all := len(r.Processes)
	var first, common []KeyStatus
	for _, k := range r.Keys {
		if k.Ambiguous {
			return fmt.Sprintf("Processes have different keys under the id %s: "+
				"give each key its own id, and restart those that have the wrong one.", k.ID)
		}
		if k.first {
			first = append(first, k)
		}
		if k.KnownBy == all {
			common = append(common, k)
		}
	}
	if len(common) == 0 {
		var lacks []string
		for _, k := range first {
			lacks = append(lacks, fmt.Sprintf("%s lacks %s", strings.Join(k.LackedBy, " and "), k.ID))
		}
		return "No key is known everywhere, so some processes cannot open what others seal: " + strings.Join(lacks, ", ") +
			". Give all of them the same QM_SEAL_KEYS and restart them."
	}
	var steps []string
	for _, k := range first {
		if k.KnownBy < all {
			steps = append(steps, fmt.Sprintf("%s is known by %d of %d processes and seals nothing yet: "+
				"put it in front of QM_SEAL_KEYS of %s and restart them, or take it back from the others.",
				k.ID, k.KnownBy, all, provision.JoinWords(k.LackedBy, "and")))
		}
	}
	switch {
	case len(steps) > 0:
	case len(first) > 1:
		steps = append(steps, idsOf(first)+" are known everywhere, and processes disagree which seals: "+
			"put the same key in front of QM_SEAL_KEYS everywhere.")
	case len(first[0].SealsIn) < all:
		steps = append(steps, first[0].ID+" is known everywhere and seals within seconds.")
	default:
		steps = append(steps, first[0].ID+" is known everywhere and seals.")
	}
	for _, k := range r.Keys {
		if step := k.next(all, now); step != "" {
			steps = append(steps, step)
		}
	}
	return strings.Join(steps, " ")
}

// next says what becomes of a key that is in front nowhere.
func (k KeyStatus) next(all int, now time.Time) string {
	needed := k.Needed()
	switch {
	case k.first:
		return ""
	case needed != "" && k.KnownBy < all:
		return fmt.Sprintf("%s is still needed by %s and missing in %s: put it back, behind the first key of QM_SEAL_KEYS.",
			k.ID, needed, provision.JoinWords(k.LackedBy, "and"))
	case len(k.SealsIn) > 0:
		return "" // it still seals
	case k.RemovableAfter == nil && needed == "":
		return fmt.Sprintf("%s is known by %d of %d processes and seals nothing: "+
			"put it in front of QM_SEAL_KEYS when every process has it, or take it away.", k.ID, k.KnownBy, all)
	case needed != "":
		step := k.ID + " may be removed "
		if k.RemovableAfter != nil {
			step += "after " + k.RemovableAfter.UTC().Format(minuteLayout) + " at the earliest"
		} else {
			step += "later"
		}
		step += ": it is still needed by " + needed
		if k.Passwords+k.WebhookSecrets+k.KeptUndos > 0 {
			step += " (run `quartermaster seal-keys reseal` for what is at rest)"
		}
		return step + "."
	case k.RemovableAfter.After(now):
		return fmt.Sprintf("%s may be removed after %s: "+
			"until then links to passwords, and closed workflows that Temporal keeps, may need it.",
			k.ID, k.RemovableAfter.UTC().Format(minuteLayout))
	case k.KnownBy > 0:
		return k.ID + " may be removed: nothing needs it any more."
	}
	return ""
}

const minuteLayout = "2006-01-02 15:04 MST"

func idsOf(keys []KeyStatus) string {
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return provision.JoinWords(ids, "and")
}
