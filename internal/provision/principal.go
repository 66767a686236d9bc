package provision

import (
	"slices"
	"time"
)

// Grant is a role at a provider: what a caller may do, and where.
type Grant struct {
	Provider     string   `json:"provider"`
	Role         Role     `json:"role"`
	Scopes       []Scope  `json:"scopes,omitempty"`       // restricts the grant to some of the role's scopes; empty: all of them
	Marketplaces []string `json:"marketplaces,omitempty"` // binds a grant of role marketplace to them; nil: all of the provider
}

// Tenant is what the grant permits to see.
func (g Grant) Tenant() Tenant { return Tenant{Provider: g.Provider, Marketplaces: g.Marketplaces} }

// Rights returns the scopes of the grant.
func (g Grant) Rights() []Scope {
	return slices.DeleteFunc(g.Role.Scopes(), func(s Scope) bool { return len(g.Scopes) > 0 && !slices.Contains(g.Scopes, s) })
}

// May reports whether the grant has the scope.
func (g Grant) May(scope Scope) bool { return slices.Contains(g.Rights(), scope) }

// Beyond returns the scopes that the other grant has and this one does not.
func (g Grant) Beyond(other Grant) []Scope { return slices.DeleteFunc(other.Rights(), g.May) }

// Principal is a caller that the console has signed in: an API key, or a person.
type Principal struct {
	KeyID  string // an API key, which is read again with every request, so that its revocation holds at once; empty: a person
	Person Person // who called, if it is no key
	Grant  Grant  // of the person; a key's own row has the key's
}

// Person is a human being whom an OpenID provider has identified.
type Person struct {
	Issuer  string `db:"issuer"`
	Subject string `db:"subject"` // the issuer's name for the person, which never changes
	Name    string `db:"name"`    // the e-mail address or preferred name when the person signed in
}

// Actor is the name of the person in histories.
func (p Person) Actor() string { return "person " + p.Name + " (" + p.Subject + ")" }

// Session is a signed-in browser.
type Session struct {
	Hash       []byte    `db:"token_sha256"` // the SHA-256 of the token in the browser's cookie, which is not stored
	KeyID      string    `db:"key_id"`       // of the API key that signed in; empty: a person
	Person               // who signed in, if it was no key
	Grants     []Grant   `db:"-"`            // where the person may work; of a key, its provider and role when it signed in
	SignedInAt time.Time `db:"signed_in_at"` // when the person or the key last proved its identity
	SeenAt     time.Time `db:"seen_at"`      // the last request that a person made
	EndsAt     time.Time `db:"ends_at"`      // no use prolongs the session beyond this
}

// Actor is the name of the session's owner in histories.
func (s Session) Actor() string {
	if s.KeyID != "" {
		return "key " + s.KeyID
	}
	return s.Person.Actor()
}

// Principal is the owner of the session at a provider; false if the owner has nothing there.
func (s Session) Principal(provider string) (Principal, bool) {
	at := slices.IndexFunc(s.Grants, func(g Grant) bool { return g.Provider == provider })
	if at < 0 {
		return Principal{}, false
	}
	return Principal{KeyID: s.KeyID, Person: s.Person, Grant: s.Grants[at]}, true
}
