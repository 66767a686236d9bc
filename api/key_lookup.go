package api

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"quartermaster/internal/provision"
)

// keyLookup reads API keys. A valid key is never refused because of other people's invalid ones, not even by a process that has
// not seen it yet, so a key is read before anything is charged for it. These rules bound what invalid keys cost the database:
//
//   - A key that was valid when this process last read it is read by a query of its own.
//   - All other keys share one query at a time. However many are guessed, they occupy one connection, and delay a valid key that
//     is new to this process by two queries by primary key.
//   - A key that was invalid a moment ago is not read again, so a client that repeats one costs nothing.
type keyLookup struct {
	valid   sync.Map // the SHA-256 of the secret, by the id of the key; it grants nothing
	invalid invalidKeys

	mu      sync.Mutex
	next    *keyQuery // what the next query reads; nil: nothing
	running bool
}

// findKeys reads keys by their ids.
type findKeys func(ctx context.Context, ids ...string) ([]provision.APIKey, error)

// keyQuery reads several keys. Its result may be read when it is done.
type keyQuery struct {
	ids  []string
	done chan struct{}
	keys []provision.APIKey
	err  error
}

// key reads the key with that id; found is false when there is none. sum is the SHA-256 of the secret that the caller sent.
func (l *keyLookup) key(
	ctx context.Context, find findKeys, id string, sum [sha256.Size]byte,
) (key provision.APIKey, found bool, err error) {
	var keys []provision.APIKey
	if known, ok := l.valid.Load(id); ok && known == sum {
		keys, err = find(ctx, id)
	} else {
		keys, err = l.together(ctx, find, id)
	}
	if i := slices.IndexFunc(keys, func(k provision.APIKey) bool { return k.ID == id }); i >= 0 {
		return keys[i], true, err
	}
	return key, false, err
}

// together reads the key by the next query, which it shares with all callers who come until that begins.
func (l *keyLookup) together(ctx context.Context, find findKeys, id string) ([]provision.APIKey, error) {
	l.mu.Lock()
	if l.next == nil {
		l.next = &keyQuery{done: make(chan struct{})}
	}
	query := l.next
	query.ids = append(query.ids, id)
	if !l.running {
		l.running = true
		go l.run(context.WithoutCancel(ctx), find)
	}
	l.mu.Unlock()
	select {
	case <-query.done:
		return query.keys, query.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run runs one query after the other until none is left.
func (l *keyLookup) run(ctx context.Context, find findKeys) {
	for {
		l.mu.Lock()
		query := l.next
		l.next, l.running = nil, query != nil
		l.mu.Unlock()
		if query == nil {
			return
		}
		limited, cancel := context.WithTimeout(ctx, requestTimeout)
		query.keys, query.err = find(limited, query.ids...)
		cancel()
		close(query.done)
	}
}

// noteValid notes that the secret belongs to the key, and that the key may be used.
func (l *keyLookup) noteValid(id string, sum [sha256.Size]byte) { l.valid.Store(id, sum) }

// noteInvalid notes that the key is invalid, and why. A wrong secret does not make the process forget a valid key.
func (l *keyLookup) noteInvalid(id string, sum [sha256.Size]byte, why error, now time.Time) {
	l.valid.CompareAndDelete(id, sum)
	l.invalid.add(keyText{id, sum}, why, now)
}

// keyText is what a caller sent as a key, without the secret itself.
type keyText struct {
	id  string
	sum [sha256.Size]byte
}

const (
	invalidKept = time.Minute // after this a key is read again, in case the database was restored
	invalidMost = 10_000      // keys
)

// invalidKeys are the keys that were invalid a moment ago.
type invalidKeys struct {
	mu    sync.Mutex
	since time.Time
	why   map[keyText]error
}

func (k *invalidKeys) add(text keyText, why error, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	if len(k.why) < invalidMost {
		k.why[text] = why
	}
}

// get returns why the key was invalid a moment ago; nil if it was not.
func (k *invalidKeys) get(text keyText, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(now)
	return k.why[text]
}

func (k *invalidKeys) expire(now time.Time) {
	if k.why == nil || now.Sub(k.since) >= invalidKept {
		k.why, k.since = map[keyText]error{}, now
	}
}
