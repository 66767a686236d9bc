package console

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"
)

// Cookies of a sign-in by the issuer. Both are sealed.
const (
	roundCookie  = "__Host-qm-oidc"
	keptCookie   = "__Host-qm-form"
	roundPurpose = "console-oidc-round"
	keptPurpose  = "console-kept-form"
	roundLength  = 10 * time.Minute
	// mostCookie is how long the value of a cookie may be: browsers drop cookies of more than 4,096 bytes, their names included.
	mostCookie = 4000
)

// round is one sign-in by the issuer, which only the browser that began it can finish.
type round struct {
	State    string    `json:"state"`    // the issuer gives it back
	Nonce    string    `json:"nonce"`    // the ID token contains it
	Verifier string    `json:"verifier"` // of PKCE
	Next     string    `json:"next"`     // where the person wants to go
	Again    bool      `json:"again"`    // the person must prove who it is
	Ends     time.Time `json:"ends"`
}

func newRound(next string, again bool, now time.Time) round {
	state, _ := newToken()
	nonce, _ := newToken()
	return round{State: state, Nonce: nonce, Verifier: oauth2.GenerateVerifier(), Next: next, Again: again, Ends: now.Add(roundLength)}
}

// keptForm is a form that the end of a session interrupted, while its sender signs in by the issuer.
type keptForm struct {
	At     string     `json:"at"` // the address of the form
	Fields url.Values `json:"fields"`
	Ends   time.Time  `json:"ends"`
}

// keepForm keeps a form until its sender comes back. It returns false if the form is too long for a cookie.
func (p *page) keepForm(fields url.Values) bool {
	err := p.keepSealed(keptCookie, keptPurpose, keptForm{p.Here(), fields, p.Now.Add(roundLength)})
	return err == nil
}

// takeForm returns the form that was interrupted at this page, and forgets it; nil: there is none.
func (p *page) takeForm() url.Values {
	var kept keptForm
	if p.console.issuer == nil || p.r.Method != http.MethodGet || p.updates() || !p.openSealed(keptCookie, keptPurpose, &kept) ||
		kept.At != p.Here() {
		return nil
	}
	p.forget(keptCookie)
	if p.Now.After(kept.Ends) {
		return nil
	}
	return kept.Fields
}

// keepSealed keeps a value in the browser for one round. Errors: errTooLong.
func (p *page) keepSealed(name, purpose string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	sealed, err := p.console.issuer.Sealer.Seal(text, purpose)
	if err != nil {
		return err
	}
	kept := cookie(name, base64.RawURLEncoding.EncodeToString(sealed))
	if len(kept.Value) > mostCookie {
		return errTooLong
	}
	kept.MaxAge = int(roundLength.Seconds())
	http.SetCookie(p.w, kept)
	return nil
}

// openSealed reads a value that keepSealed has kept. It returns false if there is none that this service has made.
func (p *page) openSealed(name, purpose string, value any) bool {
	kept, err := p.r.Cookie(name)
	if err != nil {
		return false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(kept.Value)
	if err != nil {
		return false
	}
	text, err := p.console.issuer.Sealer.Open(sealed, purpose)
	return err == nil && json.Unmarshal(text, value) == nil
}

// forget removes a cookie from the browser, if it has it.
func (p *page) forget(name string) {
	if _, err := p.r.Cookie(name); err != nil {
		return
	}
	gone := cookie(name, "")
	gone.MaxAge = -1
	http.SetCookie(p.w, gone)
}
