package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"quartermaster/internal/provision"
)

const (
	prefix  = "qm_live_"
	maxText = 200 // characters behind the prefix
)

// New makes an API key of a provider. The text is shown to its owner once and stored nowhere; the key holds the SHA-256 of
// the secret.
func New(provider, name string, role provision.Role) (text string, key provision.APIKey) {
	var id [6]byte
	var random [32]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand.Read ends the program rather than return an error
	_, _ = rand.Read(random[:])
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(secret))
	key = provision.APIKey{ID: hex.EncodeToString(id[:]), Provider: provider, Name: name, Role: role, SecretSHA256: sum[:]}
	return prefix + key.ID + "_" + secret, key
}

// Successor makes the key that replaces another one when that is rotated. It has the same rights and lives for as long as
// the other one did when it was made.
func Successor(old provision.APIKey, now time.Time) (text string, key provision.APIKey) {
	text, key = New(old.Provider, old.Name, old.Role)
	key.Scopes, key.Marketplaces, key.RateLimit = slices.Clone(old.Scopes), slices.Clone(old.Marketplaces), old.RateLimit
	if old.ExpiresAt != nil {
		end := now.Add(old.ExpiresAt.Sub(old.CreatedAt))
		key.ExpiresAt = &end
	}
	return text, key
}

// idPattern keeps malformed ids away from the database.
var idPattern = regexp.MustCompile(`^[0-9A-Za-z-]{1,40}$`)

// ValidID reports whether the text has the form of the id of a key.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// Parse splits the text of a key into its id and its secret. It returns false when the text does not have the form of a key.
func Parse(text string) (id, secret string, ok bool) {
	text, found := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !found || len(text) > maxText {
		return "", "", false
	}
	id, secret, found = strings.Cut(text, "_")
	return id, secret, found && ValidID(id) && secret != ""
}
