package provision

import (
	"fmt"
	"slices"
	"time"
)

// APIKey is a credential of a provider as it is stored: only its owner knows the secret.
type APIKey struct {
	ID           string     `db:"id"`
	Provider     string     `db:"provider"`
	Name         string     `db:"name"`
	SecretSHA256 []byte     `db:"secret_sha256"`
	Role         Role       `db:"role"`
	Scopes       []Scope    `db:"-"`                   // restricts the key to some of its role's scopes; empty: all of them
	Marketplaces []string   `db:"-"`                   // binds a key of role marketplace to them; nil: all of the provider
	RateLimit    *float64   `db:"requests_per_second"` // the key's own limit; nil: the server's default
	CreatedAt    time.Time  `db:"created_at"`
	CreatedBy    string     `db:"created_by"` // an actor; empty: unknown
	ExpiresAt    *time.Time `db:"expires_at"` // nil: never
	RevokedAt    *time.Time `db:"revoked_at"`
	LastUsedAt   *time.Time `db:"last_used_at"` // rounded to minutes
	ReplacedBy   string     `db:"replaced_by"`  // the id of the key that replaced it; empty: it was not rotated
}

// Grant is what the key permits to do.
func (k APIKey) Grant() Grant {
	return Grant{Provider: k.Provider, Role: k.Role, Scopes: k.Scopes, Marketplaces: k.Marketplaces}
}

// Live reports whether the key is valid at that time.
func (k APIKey) Live(at time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || at.Before(*k.ExpiresAt))
}

// Bounds of API keys.
const (
	KeyLifetime        = 365 * 24 * time.Hour // of a new key, unless its creator chooses another
	KeyOverlapDefault  = 24 * time.Hour       // how long a rotated key stays valid next to the new one
	KeyOverlapShortest = time.Hour            // a caller who did not receive the answer must not be locked out
	KeyOverlapLongest  = 30 * 24 * time.Hour  // a rotation must end
	KeyLimitLowest     = 0.1                  // requests per second
	KeyLimitHighest    = 100_000              // requests per second
)

// ValidateAPIKey checks a new key of a provider that has pools for those marketplaces, and reports every invalid field.
func ValidateAPIKey(k APIKey, now time.Time, withPool []string) []FieldError {
	var v fieldErrors
	v.text("name", k.Name, MaxName)
	v.check("role", k.Role.Known(), "%q is not a role: use %s", k.Role, JoinWords(Roles, "or"))
	for i, scope := range k.Scopes {
		field := fmt.Sprintf("scopes.%d", i)
		v.check(field, scope.Known(), "%q is not a scope: the scopes are %s", scope, JoinWords(RoleAdmin.Scopes(), "and"))
		v.check(field, !scope.Known() || !k.Role.Known() || k.Role.Allows(scope),
			"the role %s does not have %s, only %s has it: choose another role, or leave the scope out",
			k.Role, scope, JoinWords(scope.Roles(), "or"))
		v.check(field, !slices.Contains(k.Scopes[:i], scope), "%s is named twice: name it once", scope)
	}
	switch {
	case k.Role == RoleMarketplace && len(k.Marketplaces) == 0:
		v.add("marketplaces", "a key of role marketplace needs at least one marketplace: %s", haveAPool(withPool))
	case k.Role.Known() && k.Role != RoleMarketplace && k.Marketplaces != nil:
		v.add("marketplaces", "a key of role %s sees all marketplaces: leave this out, or choose the role marketplace", k.Role)
	default:
		v = append(v, ValidateMarketplaces(k.Marketplaces, withPool)...)
	}
	if k.ExpiresAt != nil {
		v.check("expires_at", now.Before(*k.ExpiresAt) && k.ExpiresAt.Year() < 10000,
			"%s is in the past or too far in the future: use a later or earlier time, "+
				"or leave it out for a key that is valid for a year",
			k.ExpiresAt.UTC().Format(time.RFC3339))
	}
	if k.RateLimit != nil {
		v.check("requests_per_second", *k.RateLimit >= KeyLimitLowest && *k.RateLimit <= KeyLimitHighest,
			"%g is not a limit: use %g to %d, or leave it out for the server's limit", *k.RateLimit, KeyLimitLowest, KeyLimitHighest)
	}
	return v
}

// KeyCursor is a position in the list of API keys.
type KeyCursor struct {
	CreatedAt time.Time `json:"t"`
	ID        string    `json:"k"`
}
