package console

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"quartermaster/internal/provision"
)

// OIDC lets people sign in by an issuer of OpenID Connect. Issuer, ClientID, Grants and Sealer are required.
type OIDC struct {
	Issuer       string // its URL, exactly as its discovery document has it
	ClientID     string
	ClientSecret string       // empty: a public client, which PKCE alone protects
	Name         string       // of the issuer on the sign-in page. Default: its host
	GroupsClaim  string       // which claim has the groups of a person. Default: groups
	Grants       []GroupGrant // which groups have which roles
	Sealer       Sealer
	Patience     time.Duration // how long the issuer may take to answer. Default: 10 seconds
}

// Sealer seals what a browser keeps for a sign-in. *secrets.Ring implements it.
type Sealer interface {
	Seal(plaintext []byte, purpose string) ([]byte, error)
	Open(sealed []byte, purpose string) ([]byte, error)
}

// issuer is the configured issuer. It is asked for its endpoints when the first person signs in, so that the API starts without it.
type issuer struct {
	OIDC
	redirectURL string
	http        *http.Client
	discovering singleflight.Group
	found       atomic.Pointer[endpoints]
}

// endpoints are what the issuer has said about itself.
type endpoints struct {
	*oidc.Provider
	oauth oauth2.Config
}

func newIssuer(cfg OIDC, publicURL string) (*issuer, error) {
	at, err := url.Parse(cfg.Issuer)
	if err != nil || at.Host == "" {
		return nil, fmt.Errorf("issuer %q must have the form https://host", cfg.Issuer)
	}
	if cfg.ClientID == "" || len(cfg.Grants) == 0 || cfg.Sealer == nil {
		return nil, errors.New("ClientID, Grants and Sealer of the issuer are needed")
	}
	if cfg.Name == "" {
		cfg.Name = at.Host
	}
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 10 * time.Second
	}
	return &issuer{OIDC: cfg, redirectURL: publicURL + "/console/-/oidc/callback", http: &http.Client{Timeout: cfg.Patience}}, nil
}

// context returns a context in which the libraries call the issuer with its time limit.
func (i *issuer) context(ctx context.Context) context.Context { return oidc.ClientContext(ctx, i.http) }

// discover returns the endpoints. As long as the issuer has not answered, each sign-in asks it again; those that wait share one call.
func (i *issuer) discover(ctx context.Context) (*endpoints, error) {
	if known := i.found.Load(); known != nil {
		return known, nil
	}
	_, err, _ := i.discovering.Do("", func() (any, error) {
		provider, err := oidc.NewProvider(i.context(context.WithoutCancel(ctx)), i.Issuer)
		if err != nil {
			return nil, err
		}
		var says struct {
			AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
			Scopes      []string `json:"scopes_supported"`
		}
		if err := provider.Claims(&says); err != nil {
			return nil, err
		}
		endpoint, scopes := provider.Endpoint(), []string{oidc.ScopeOpenID, "profile", "email"}
		endpoint.AuthStyle = oauth2.AuthStyleInHeader // named, because trying both ways would spend the code
		if i.ClientSecret == "" || len(says.AuthMethods) > 0 && !slices.Contains(says.AuthMethods, "client_secret_basic") {
			endpoint.AuthStyle = oauth2.AuthStyleInParams
		}
		if slices.Contains(says.Scopes, i.GroupsClaim) { // most issuers that have groups name the scope like the claim
			scopes = append(scopes, i.GroupsClaim)
		}
		i.found.Store(&endpoints{provider, oauth2.Config{
			ClientID: i.ClientID, ClientSecret: i.ClientSecret, Endpoint: endpoint, RedirectURL: i.redirectURL, Scopes: scopes,
		}})
		return nil, nil
	})
	return i.found.Load(), err
}

// startOIDC sends the browser to the issuer. It answers a link and not a form, because the policy form-action would forbid the
// redirect.
func startOIDC(p *page) error {
	i, again := p.console.issuer, p.Query("again") != ""
	next := p.ownAddress(p.Query("next"))
	known, err := i.discover(p.ctx())
	if err != nil {
		return p.notSignedIn(http.StatusServiceUnavailable, next, err,
			i.Name+" cannot be reached at the moment. Try again in a minute, or sign in with an API key.")
	}
	begun := newRound(next, again, p.Now)
	maxAge := p.console.Longest // so that the issuer says when the person last signed in there
	options := []oauth2.AuthCodeOption{oidc.Nonce(begun.Nonce), oauth2.S256ChallengeOption(begun.Verifier)}
	if again {
		maxAge = stepUp
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	options = append(options, oauth2.SetAuthURLParam("max_age", strconv.Itoa(int(maxAge.Seconds()))))
	if err := p.keepSealed(roundCookie, roundPurpose, begun); err != nil {
		return err
	}
	p.keepZone(p.Query("zone"))
	return p.redirect(known.oauth.AuthCodeURL(begun.State, options...), "")
}

// finishOIDC answers the browser when it comes back from the issuer.
func finishOIDC(p *page) error {
	i, query := p.console.issuer, p.r.URL.Query()
	var begun round
	if !p.openSealed(roundCookie, roundPurpose, &begun) || p.Now.After(begun.Ends) ||
		subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(begun.State)) != 1 {
		return p.notSignedIn(http.StatusBadRequest, "", nil, "This sign-in is no longer valid: it took more than 10 minutes, "+
			"is finished already, or another one was begun in this browser. Begin again.")
	}
	p.forget(roundCookie)
	if refused := query.Get("error"); refused != "" {
		status := http.StatusBadGateway
		if refused == "access_denied" {
			status = http.StatusForbidden
		}
		return p.notSignedIn(status, begun.Next, errors.New("the issuer answered "+strconv.Quote(plainLine(refused, 60))),
			i.Name+" did not sign you in. It says: "+plainLine(refused+": "+query.Get("error_description"), 300))
	}
	if from := query.Get("iss"); from != "" && from != i.Issuer {
		return p.notSignedIn(http.StatusBadRequest, begun.Next, nil, "This answer is not from "+i.Name+". Begin again.")
	}
	who, err := i.identify(p.ctx(), begun, query.Get("code"), p.Now)
	if err != nil {
		return p.notSignedIn(http.StatusBadGateway, begun.Next, err, i.Name+" did not confirm who you are. Begin again; if it stays, "+
			"the log of the API has the reason.")
	}
	return p.beginAs(who, begun)
}

// beginAs starts the session of a person whom the issuer has identified.
func (p *page) beginAs(who identity, begun round) error {
	i := p.console.issuer
	if begun.Again && p.Now.Sub(who.ProvedAt) > stepUp {
		return p.notSignedIn(http.StatusForbidden, begun.Next, errors.New("the issuer did not ask the person to sign in again"),
			i.Name+" did not ask you to sign in again, so it is not certain that it is you. Sign out there, and begin again.")
	}
	grants := grantsOf(i.Grants, who.Groups)
	if len(grants) == 0 {
		p.console.Log.WarnContext(p.ctx(), "no group of a person has a role in the console (QM_OIDC_GRANTS)",
			"subject", who.Person.Subject, "groups", who.Groups[:min(len(who.Groups), mostGroups)])
		return p.showStatus(http.StatusForbidden, "no-role", "You have no role here", noRoleData{
			Issuer: i.Name, Claim: i.GroupsClaim, Who: who.Person.Name, Groups: who.Groups[:min(len(who.Groups), mostGroups)],
			More: max(0, len(who.Groups)-mostGroups), TooMany: who.TooMany, Again: p.startURL("", true),
		})
	}
	if err := p.begin(provision.Session{Person: who.Person, Grants: grants}, who.ProvedAt); err != nil {
		return err
	}
	if begun.Next == "" {
		return p.redirect(p.Home(), "")
	}
	return p.redirect(begun.Next, "")
}

// mostGroups is how many groups a page and the log name.
const mostGroups = 50

// noRoleData is what a person sees who may sign in at the issuer, but has no role here.
type noRoleData struct {
	Issuer, Claim, Who string
	Groups             []string
	More               int
	TooMany            bool // the issuer sent no groups, because there are too many
	Again              string
}

// notSignedIn shows the sign-in again, with what went wrong.
func (p *page) notSignedIn(status int, next string, why error, said string) error {
	if why != nil {
		p.console.Log.LogAttrs(p.ctx(), slog.LevelWarn, "a person was not signed in", slog.String("error", safeError(why)))
	}
	return p.showSignIn(status, "Error: Sign in", signInData{Next: next, Bad: said})
}

// startURL is the address that begins a sign-in by the issuer; again: the person must prove who it is, even if the issuer knows.
func (p *page) startURL(next string, again bool) string {
	query := url.Values{}
	if next != "" {
		query.Set("next", next)
	}
	if again {
		query.Set("again", "1")
	}
	if len(query) == 0 {
		return p.Home() + "-/oidc/start"
	}
	return p.Home() + "-/oidc/start?" + query.Encode()
}
