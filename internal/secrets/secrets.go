// Package secrets seals what must not be read by who holds the disk: passwords at rest, and the payloads of Temporal.
// Everything is AES-256-GCM under a ring of named keys: the first seals, all of them open, so that a key is rotated by
// putting a new one in front and dropping the old one when nothing sealed with it is left.
package secrets

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Ring is a set of named keys. The zero value seals nothing; make one with ParseRing or NewRing.
type Ring struct {
	active string
	aeads  map[string]cipher.AEAD
}

// Key is one named key. The name is public: it stands beside everything that the key sealed.
type Key struct {
	ID     string
	Secret []byte // KeySize bytes
}

var (
	keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

	// ErrUnknownKey says that what is to be opened was sealed with a key that is not in the ring.
	ErrUnknownKey = errors.New("sealed with a key that is not configured")
	// ErrNotSealed says that the bytes are not in the form that Seal writes, or were changed, or were sealed for another purpose.
	ErrNotSealed = errors.New("cannot be opened: not sealed here, changed, or sealed for another purpose")
)

// NewRing makes a ring whose first key seals.
func NewRing(keys ...Key) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key: at least one is needed to seal")
	}
	ring := &Ring{active: keys[0].ID, aeads: map[string]cipher.AEAD{}}
	for _, key := range keys {
		if !keyID.MatchString(key.ID) {
			return nil, fmt.Errorf("key id %q: use 1 to 32 letters, digits, - or _", key.ID)
		}
		if _, twice := ring.aeads[key.ID]; twice {
			return nil, fmt.Errorf("key id %q stands there twice: give every key its own id", key.ID)
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
		ring.aeads[key.ID] = aead
	}
	return ring, nil
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
			return nil, fmt.Errorf("key %q is not base64: make one with `quartermaster keys seal`", id)
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

// Seal encrypts with the active key: key id, NUL, nonce and ciphertext. The purpose is authenticated but not stored.
func (r *Ring) Seal(plaintext []byte, purpose string) ([]byte, error) {
	return r.aeads[r.active].Seal(append([]byte(r.active), 0), nil, plaintext, []byte(purpose)), nil //nolint:gosec // G407: this AEAD draws its nonce itself
}

// Open decrypts what Seal made for the same purpose. Errors: ErrUnknownKey, ErrNotSealed.
func (r *Ring) Open(sealed []byte, purpose string) ([]byte, error) {
	id, rest, ok := bytes.Cut(sealed, []byte{0})
	if !ok {
		return nil, ErrNotSealed
	}
	aead, known := r.aeads[string(id)]
	if !known {
		return nil, fmt.Errorf("key %q: %w", id, ErrUnknownKey)
	}
	plaintext, err := aead.Open(nil, nil, rest, []byte(purpose))
	if err != nil {
		return nil, ErrNotSealed
	}
	return plaintext, nil
}
