package provision

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// APIKey is a credential of a provider, as it is stored: the secret itself is known only to its owner.
type APIKey struct {
	ID           string     `db:"id"`
	Provider     string     `db:"provider"`
	Name         string     `db:"name"`
	SecretSHA256 []byte     `db:"secret_sha256"`
	Role         Role       `db:"role"`
	Scopes       []Scope    `db:"-"`                   // what it may do of what its role may do; empty: all of that
	RateLimit    *float64   `db:"requests_per_second"` // its own limit; nil: the server's
	CreatedAt    time.Time  `db:"created_at"`
	CreatedBy    string     `db:"created_by"` // an actor; empty: it is older than the records
	ExpiresAt    *time.Time `db:"expires_at"` // nil: never
	RevokedAt    *time.Time `db:"revoked_at"`
	LastUsedAt   *time.Time `db:"last_used_at"` // to the minute
	ReplacedBy   string     `db:"replaced_by"`  // the id of the key that took its place; empty: it was not rotated
}

// Rights are the scopes that the key has.
func (k APIKey) Rights() []Scope {
	return slices.DeleteFunc(k.Role.Scopes(), func(s Scope) bool { return len(k.Scopes) > 0 && !slices.Contains(k.Scopes, s) })
}

// May tells whether the key has the scope.
func (k APIKey) May(scope Scope) bool { return slices.Contains(k.Rights(), scope) }

// Beyond are the scopes that the other key has and this one has not.
func (k APIKey) Beyond(other APIKey) []Scope {
	return slices.DeleteFunc(other.Rights(), k.May)
}

// Live tells whether the key opens anything at that time.
func (k APIKey) Live(at time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || at.Before(*k.ExpiresAt))
}

// Bounds of API keys.
const (
	KeyOverlapDefault  = 24 * time.Hour      // how long a rotated key lives beside the new one
	KeyOverlapShortest = time.Hour           // an answer that gets lost must not lock anybody out
	KeyOverlapLongest  = 30 * 24 * time.Hour // rotation is to end some day
	KeyLimitLowest     = 0.1                 // requests a second
	KeyLimitHighest    = 100_000             // the same
	mostOfKeyName      = 100                 // characters
)

// ValidateAPIKey returns what is wrong with a new key, each with its field.
func ValidateAPIKey(k APIKey, now time.Time) []FieldError {
	var v fieldErrors
	length := utf8.RuneCountInString(k.Name)
	v.check("name", length > 0 && length <= mostOfKeyName && strings.TrimSpace(k.Name) == k.Name && !strings.ContainsFunc(k.Name, unicode.IsControl),
		"needs 1 to %d characters, no space at either end and no control characters; it has %d", mostOfKeyName, length)
	v.check("role", k.Role.Known(), "%q is not a role: use %s", k.Role, JoinWords(Roles, "or"))
	for i, scope := range k.Scopes {
		field := fmt.Sprintf("scopes.%d", i)
		v.check(field, scope.Known(), "%q is not a scope: use some of %s", scope, JoinWords(RoleAdmin.Scopes(), "and"))
		v.check(field, !scope.Known() || !k.Role.Known() || k.Role.Allows(scope),
			"the role %s does not have %s, which only %s has: choose another role, or leave the scope out", k.Role, scope, JoinWords(scope.Roles(), "or"))
		v.check(field, !slices.Contains(k.Scopes[:i], scope), "%s is named twice: name it once", scope)
	}
	if k.ExpiresAt != nil {
		v.check("expires_at", now.Before(*k.ExpiresAt) && k.ExpiresAt.Year() < 10000,
			"%s is past, or too far away: name a time to come, or leave it out for a key that lives until it is revoked", k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if k.RateLimit != nil {
		v.check("requests_per_second", *k.RateLimit >= KeyLimitLowest && *k.RateLimit <= KeyLimitHighest,
			"%g is not a limit: use %g to %d, or leave it out for the server's", *k.RateLimit, KeyLimitLowest, KeyLimitHighest)
	}
	return v
}

// JoinWords writes a list as people do: a, b or c.
func JoinWords[T ~string](words []T, last string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return string(words[0])
	}
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts[:len(texts)-1], ", ") + " " + last + " " + texts[len(texts)-1]
}

// KeyCursor is a place in the list of API keys.
type KeyCursor struct {
	CreatedAt time.Time `json:"t"`
	ID        string    `json:"k"`
}
