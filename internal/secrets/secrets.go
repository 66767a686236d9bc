package secrets

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Ring is a set of named keys. It is safe for concurrent use. The zero value seals nothing; make one with ParseRing or NewRing.
type Ring struct {
	keys   []*ringKey // as configured: the preferred one first
	active atomic.Pointer[ringKey]
}

// ringKey is a key of a ring, ready for use.
type ringKey struct {
	id   string
	name string // Name of the key
	aead cipher.AEAD
	mac  []byte
	used atomic.Int64 // when it sealed or signed last, in nanoseconds since 1970; 0: never
}

// Key is one named key. The id is public: it precedes everything that the key sealed.
type Key struct {
	ID     string
	Secret []byte // KeySize bytes
}

var (
	keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

	// ErrUnknownKey reports that a secret was sealed with a key that is not in the ring.
	ErrUnknownKey = errors.New("sealed with a key that is not configured")
	// ErrNotSealed reports that the bytes are not in the form that Seal writes, or were changed, or were sealed for another purpose.
	ErrNotSealed = errors.New("cannot be opened: not sealed here, changed, or sealed for another purpose")
)

// NewRing makes a ring whose first key seals until Follow says otherwise.
func NewRing(keys ...Key) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key: at least one is needed to seal")
	}
	ring := &Ring{}
	for _, key := range keys {
		if ring.find(key.ID) != nil {
			return nil, fmt.Errorf("key id %q appears twice: give every key its own id", key.ID)
		}
		made, err := newRingKey(key)
		if err != nil {
			return nil, err
		}
		ring.keys = append(ring.keys, made)
	}
	ring.active.Store(ring.keys[0])
	return ring, nil
}

func newRingKey(key Key) (*ringKey, error) {
	if !keyID.MatchString(key.ID) {
		return nil, fmt.Errorf("key id %q: use 1 to 32 letters, digits, - or _", key.ID)
	}
	if len(key.Secret) != KeySize {
		return nil, fmt.Errorf("key %q has %d bytes: AES-256 needs %d", key.ID, len(key.Secret), KeySize)
	}
	block, err := aes.NewCipher(key.Secret)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key.ID, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key.ID, err)
	}
	mac, err := hkdf.Key(sha256.New, key.Secret, nil, "quartermaster signatures", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key.ID, err)
	}
	fingerprint, err := hkdf.Key(sha256.New, key.Secret, nil, "quartermaster key fingerprint", 4)
	if err != nil {
		return nil, fmt.Errorf("key %q: %w", key.ID, err)
	}
	return &ringKey{id: key.ID, name: key.ID + ":" + hex.EncodeToString(fingerprint), aead: aead, mac: mac}, nil
}

// find returns the key of that id; nil: the ring has none.
func (r *Ring) find(id string) *ringKey {
	for _, key := range r.keys {
		if key.id == id {
			return key
		}
	}
	return nil
}

// ParseRing reads "id:base64,id:base64", the active key first: the form of the configuration.
func ParseRing(text string) (*Ring, error) {
	var keys []Key
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		id, secret, ok := strings.Cut(strings.TrimSpace(part), ":")
		if !ok {
			return nil, errors.New("a key is written as id:base64 of 32 bytes, several with a comma between them, the active one first")
		}
		raw, err := base64.StdEncoding.DecodeString(secret)
		if err != nil {
			return nil, fmt.Errorf("key %q is not base64: make one with `quartermaster seal-keys create`", id)
		}
		keys = append(keys, Key{ID: id, Secret: raw})
	}
	return NewRing(keys...)
}

// GenerateKey makes a key as ParseRing reads it.
func GenerateKey(id string) string {
	secret := make([]byte, KeySize)
	_, _ = rand.Read(secret) // never fails: crypto/rand
	return id + ":" + base64.StdEncoding.EncodeToString(secret)
}

// use returns the key that seals and signs now, and notes that it does.
func (r *Ring) use() *ringKey {
	key := r.active.Load()
	key.used.Store(time.Now().UnixNano())
	return key
}

// Seal encrypts with the active key: key id, NUL, nonce and ciphertext. The purpose is authenticated but not stored.
func (r *Ring) Seal(plaintext []byte, purpose string) ([]byte, error) {
	key := r.use()
	//nolint:gosec // G407: this AEAD draws its nonce itself
	return key.aead.Seal(append([]byte(key.id), 0), nil, plaintext, []byte(purpose)), nil
}

// Open decrypts what Seal made for the same purpose. Errors: ErrUnknownKey, ErrNotSealed.
func (r *Ring) Open(sealed []byte, purpose string) ([]byte, error) {
	id, rest, ok := bytes.Cut(sealed, []byte{0})
	if !ok {
		return nil, ErrNotSealed
	}
	key := r.find(string(id))
	if key == nil {
		return nil, fmt.Errorf("key %q: %w", id, ErrUnknownKey)
	}
	plaintext, err := key.aead.Open(nil, nil, rest, []byte(purpose))
	if err != nil {
		return nil, ErrNotSealed
	}
	return plaintext, nil
}

// Sign returns the active key's signature of the message for a purpose.
func (r *Ring) Sign(message []byte, purpose string) []byte { return r.use().sign(message, purpose) }

// Verify reports whether a key of the ring made the signature of this message for this purpose. It tries all keys, even
// after a match, so that the time that it takes reveals nothing.
func (r *Ring) Verify(message, signature []byte, purpose string) bool {
	valid := false
	for _, key := range r.keys {
		valid = hmac.Equal(signature, key.sign(message, purpose)) || valid
	}
	return valid
}

func (k *ringKey) sign(message []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, k.mac)
	mac.Write(append([]byte(purpose), 0))
	mac.Write(message)
	return mac.Sum(nil)
}

// Names are the names of the keys in their configured order. A name is the id and a fingerprint, so that two keys that were
// given one id are not taken for the same. Names are public.
func (r *Ring) Names() []string {
	names := make([]string, len(r.keys))
	for i, key := range r.keys {
		names[i] = key.name
	}
	return names
}

// Active is the name of the key that seals.
func (r *Ring) Active() string { return r.active.Load().name }

// ActiveID is the id of the key that seals.
func (r *Ring) ActiveID() string { return r.active.Load().id }

// Has reports whether the ring has a key of that id.
func (r *Ring) Has(id string) bool { return r.find(id) != nil }

// LastUsed says when each key that has sealed or signed did so last, by id.
func (r *Ring) LastUsed() map[string]time.Time {
	used := map[string]time.Time{}
	for _, key := range r.keys {
		if at := key.used.Load(); at != 0 {
			used[key.id] = time.Unix(0, at)
		}
	}
	return used
}

// Follow makes the ring seal with the first of its keys that all the others have; each of them is given by the names of its
// keys. When they have none in common, the ring seals with the key that most of them have, and Follow returns false: some
// of them cannot open what it seals.
func (r *Ring) Follow(others [][]string) bool {
	best, most := r.keys[0], -1
	for _, key := range r.keys {
		have := 0
		for _, names := range others {
			if slices.Contains(names, key.name) {
				have++
			}
		}
		if have > most {
			best, most = key, have
		}
	}
	r.active.Store(best)
	return most == len(others)
}
