package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// Cookies. The prefix __Host- makes browsers keep them to this host, over HTTPS (or to this machine).
const (
	sessionCookie = "__Host-qm"
	saidCookie    = "__Host-qm-said"
	lookCookie    = "__Host-qm-look"
)

// cookie returns a cookie that ends with the browser's session. Strict would break the links that people send each other.
func cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
}

// tokenHash returns the SHA-256 of the token in the browser's cookie; nil: there is none.
func tokenHash(r *http.Request) []byte {
	sent, err := r.Cookie(sessionCookie)
	if err != nil || sent.Value == "" {
		return nil
	}
	sum := sha256.Sum256([]byte(sent.Value))
	return sum[:]
}

// findSession reads the session of the browser. Errors: provision.ErrNotFound when no one is signed in.
func (p *page) findSession() error {
	session, err := p.console.session(p.ctx(), tokenHash(p.r))
	if err != nil {
		return err
	}
	p.Session = session
	if p.updates() {
		return nil
	}
	return p.console.Sessions.NoteUse(p.ctx(), session.Hash, p.Now)
}

// updates reports whether the script sent the request to keep a page up to date. That does not prolong a session.
func (p *page) updates() bool {
	return p.r.Header.Get("X-Live") != "" || strings.HasSuffix(p.r.Pattern, "/live")
}

// session reads a session that has neither ended nor been idle for too long. Errors: provision.ErrNotFound.
func (c *console) session(ctx context.Context, hash []byte) (provision.Session, error) {
	if hash == nil {
		return provision.Session{}, provision.ErrNotFound
	}
	found, err := c.Sessions.Find(ctx, hash)
	if err == nil && c.Now().Sub(found.SeenAt) > c.Idle {
		return provision.Session{}, provision.ErrNotFound
	}
	return found, err
}

// EndsAt is when the session ends if no one uses it any more.
func (p *page) EndsAt() string {
	end := p.Now.Add(p.console.Idle)
	if p.Session.EndsAt.Before(end) {
		end = p.Session.EndsAt
	}
	return end.UTC().Format("2006-01-02T15:04:05Z")
}

// signInData is what the page of the sign-in shows.
type signInData struct {
	Why  string      // a sentence above the form
	Next string      // where to go afterwards
	Kept []keptField // what a form had when its session had ended
	Bad  string      // why no one was signed in
	Key  bool        // the fault is in the key

	Issuer  string // by whom people sign in; empty: API keys only
	Start   string // the address that begins a sign-in by the issuer
	Again   bool   // the person must prove who it is, even if the issuer knows
	TooLong bool   // the form does not fit into a cookie, so that only a sign-in with a key keeps it
}

type keptField struct{ Name, Value string }

type keptKey struct{}

// fresh wraps a page that makes or shows a secret: it needs a sign-in of the last minutes, so that a browser that someone left open
// gives none away.
func fresh(handle handler) handler {
	return func(p *page) error {
		if !p.Fresh() {
			return p.askToSignIn("This page makes or shows a secret. Sign in again to go on.")
		}
		return handle(p)
	}
}

// Fresh reports whether the sign-in is recent enough to make or show a secret.
func (p *page) Fresh() bool { return p.Now.Sub(p.Session.SignedInAt) <= stepUp }

// start leads to the sign-in, or to the first provider of the person.
func start(p *page) error {
	if err := p.findSession(); errors.Is(err, provision.ErrNotFound) {
		return p.askToSignIn("")
	} else if err != nil {
		return err
	}
	return p.redirect(p.Home()+p.Session.Grants[0].Provider+"/"+firstPage(p.Session.Grants[0]), "")
}

// firstPage is where a role begins.
func firstPage(of provision.Grant) string {
	if of.May(provision.ScopeStockRead) {
		return ""
	}
	return "orders"
}

func signInPage(p *page) error {
	return p.showSignIn(http.StatusOK, "Sign in", signInData{Next: p.Query("next")})
}

// showSignIn shows the page of the sign-in.
func (p *page) showSignIn(status int, title string, data signInData) error {
	if i := p.console.issuer; i != nil {
		data.Issuer, data.Start = i.Name, p.startURL(data.Next, data.Again)
	}
	return p.showStatus(status, "sign-in", title, data)
}

// askToSignIn answers with the sign-in. Afterwards the person comes back to this page; a form comes back filled, and is not sent.
func (p *page) askToSignIn(why string) error {
	data := signInData{Why: why, Next: p.Here(), Again: p.Session.Subject != ""}
	if p.r.Method == http.MethodPost {
		p.r.Body = http.MaxBytesReader(p.w, p.r.Body, maxForm)
		if err := p.r.ParseForm(); err == nil && len(p.r.PostForm) > 0 {
			data.Why = why + " The form is kept: you will see it again before it is sent."
			for name, values := range p.r.PostForm {
				for _, value := range values {
					data.Kept = append(data.Kept, keptField{name, value})
				}
			}
			slices.SortStableFunc(data.Kept, func(a, b keptField) int { return strings.Compare(a.Name, b.Name) })
			data.TooLong = p.console.issuer != nil && !p.keepForm(p.r.PostForm)
		}
	}
	p.Session, p.Grant, p.API = provision.Session{}, provision.Grant{}, nil
	return p.showSignIn(http.StatusUnauthorized, "Sign in", data)
}

// keptPrefix begins the names of the kept fields in the form of the sign-in.
const keptPrefix = "kept."

// signIn starts a session for the owner of an API key.
func signIn(p *page) error {
	p.r.Body = http.MaxBytesReader(p.w, p.r.Body, maxForm)
	if err := p.r.ParseForm(); err != nil {
		return &problem{status: http.StatusRequestEntityTooLarge, title: "The form is too large", detail: "Sign in with an empty form."}
	}
	form, kept := p.r.PostForm, url.Values{}
	data := signInData{Next: p.ownAddress(form.Get("next"))}
	for name, values := range form {
		if field, is := strings.CutPrefix(name, keptPrefix); is {
			kept[field] = values
			for _, value := range values {
				data.Kept = append(data.Kept, keptField{field, value})
			}
		}
	}
	me, err := p.whoHas(strings.TrimSpace(form.Get("key")))
	if err != nil {
		refused := problemOf(err)
		data.Key = true
		if data.Bad = refused.detail; refused.status == http.StatusUnauthorized {
			data.Bad = "This key is not valid: it is unknown, has expired or is revoked. Paste the whole key; it begins with qm_live_."
		}
		return p.showSignIn(refused.status, "Sign in", data)
	}
	if err := p.begin(provision.Session{KeyID: me.APIKey.ID, Grants: []provision.Grant{{
		Provider: me.Provider, Role: me.Role, Scopes: me.Scopes, Marketplaces: listed(me.Marketplaces),
	}}}, p.Now); err != nil {
		return err
	}
	p.forget(keptCookie) // the form of the sign-in has the fields
	p.keepZone(form.Get("zone"))
	return p.goOn(data.Next, kept)
}

// keepZone keeps the zone of the browser, which its script has added, unless the person has chosen one.
func (p *page) keepZone(zone string) {
	if zone != "" && p.Zone == "" {
		p.keepLook(p.withZone(zone))
	}
}

// whoHas asks the API whose key it is. The API counts wrong keys against the address that they come from.
func (p *page) whoHas(key string) (openapi.Me, error) {
	api := p.console.client(p.console.API.Unauthenticated(p.console.API.ClientAddress(p.r)))
	me, _, err := client.Object[openapi.Me](api.GetMe(p.ctx(), func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+strings.Map(printable, key))
		return nil
	}))
	return me, err
}

// printable drops what cannot be in a header.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// begin starts a session whose owner last proved its identity at that time, and gives its token to the browser. The session that
// the browser had ends.
func (p *page) begin(session provision.Session, provedAt time.Time) error {
	token, hash := newToken()
	session.Hash, session.SignedInAt, session.SeenAt, session.EndsAt = hash, provedAt, p.Now, p.Now.Add(p.console.Longest)
	if err := p.console.Sessions.Start(p.ctx(), session, p.Now.Add(-p.console.Idle)); err != nil {
		return err
	}
	if old := tokenHash(p.r); old != nil {
		if err := p.console.Sessions.End(p.ctx(), session.Actor(), old); err != nil {
			return err
		}
	}
	now := cookie(sessionCookie, token)
	http.SetCookie(p.w, now)
	p.r.Header.Del("Cookie") // a form that is shown again at once needs the new one
	p.r.AddCookie(now)
	return nil
}

// newToken returns a random token and its SHA-256.
func newToken() (token string, hash []byte) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	token = base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))
	return token, sum[:]
}

// goOn leads on after a sign-in. A form that had been interrupted is shown again, filled in.
func (p *page) goOn(next string, kept url.Values) error {
	if next == "" {
		next = p.Home()
	}
	if len(kept) == 0 {
		return p.redirect(next, "")
	}
	r := p.r.Clone(context.WithValue(p.ctx(), keptKey{}, kept))
	target, err := url.Parse(strings.TrimPrefix(next, strings.TrimSuffix(p.console.base, "/console")))
	if err != nil {
		return p.redirect(p.Home(), "")
	}
	r.Method, r.URL, r.RequestURI, r.Body, r.PostForm, r.Form = http.MethodGet, target, target.RequestURI(), http.NoBody, nil, nil
	p.console.mux.ServeHTTP(p.w, r)
	return nil
}

// ownAddress returns the address if it is a page of the console; empty if it is not.
func (p *page) ownAddress(text string) string {
	at, err := url.Parse(text)
	if err != nil || at.Scheme != "" || at.Host != "" || at.User != nil || strings.Contains(text, `\`) ||
		!strings.HasPrefix(path.Clean(at.Path)+"/", p.console.base+"/") || strings.HasPrefix(at.Path, p.console.base+"/sign-") ||
		strings.HasPrefix(path.Clean(at.Path)+"/", p.console.base+"/-/") {
		return ""
	}
	return at.RequestURI()
}

// signOut ends the session.
func signOut(p *page) error {
	err := p.findSession()
	if err == nil {
		err = p.console.Sessions.End(p.ctx(), p.Session.Actor(), p.Session.Hash)
	}
	if err != nil && !errors.Is(err, provision.ErrNotFound) {
		return err
	}
	gone := cookie(sessionCookie, "")
	gone.MaxAge = -1
	http.SetCookie(p.w, gone)
	said := "You are signed out."
	if i := p.console.issuer; i != nil && p.Session.Subject != "" {
		said += " You may still be signed in at " + i.Name + "."
	}
	return p.redirect(p.Home()+"sign-in", said)
}

// say keeps a sentence for the next page.
func (p *page) say(sentence string) {
	kept := cookie(saidCookie, base64.RawURLEncoding.EncodeToString([]byte(sentence)))
	kept.MaxAge = 60
	http.SetCookie(p.w, kept)
}

// takeSaid returns the sentence that say kept, and forgets it.
func (p *page) takeSaid() string {
	kept, err := p.r.Cookie(saidCookie)
	if err != nil || p.r.Method != http.MethodGet || p.updates() {
		return ""
	}
	gone := cookie(saidCookie, "")
	gone.MaxAge = -1
	http.SetCookie(p.w, gone)
	text, err := base64.RawURLEncoding.DecodeString(kept.Value)
	if err != nil {
		return ""
	}
	return string(text)
}

// listed returns the slice behind a pointer; nil if there is none.
func listed[T any](of *[]T) []T {
	if of == nil {
		return nil
	}
	return *of
}
