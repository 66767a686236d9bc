package issuertest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The client that the issuer knows.
const (
	ClientID     = "quartermaster"
	ClientSecret = "the client's secret"
)

// Person is someone whom the issuer knows.
type Person struct {
	Name    string // with which the person signs in; the subject is "sub-" and the name
	Email   string // empty: none
	Groups  any    // the claim groups: a list, a text, or nil for none
	Overage bool   // the issuer sends a reference in place of the groups
}

// Issuer is a running issuer.
type Issuer struct {
	URL string

	mu     sync.Mutex
	people map[string]Person
	asked  url.Values // the last authorization request
	ago    time.Duration
	short  bool
	fault  func(w http.ResponseWriter, r *http.Request) bool
	store  *store
	server *httptest.Server
}

// New starts an issuer with a client that may use the redirect URL.
func New(t testing.TB, redirectURL string, people ...Person) *Issuer {
	t.Helper()
	i := &Issuer{people: map[string]Person{}}
	for _, p := range people {
		i.people[p.Name] = p
	}
	var handler http.Handler
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		fault := i.fault
		i.mu.Unlock()
		if fault != nil && fault(w, r) {
			return
		}
		if r.URL.Path == "/authorize" {
			i.mu.Lock()
			i.asked = r.URL.Query()
			i.mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.store = &store{issuer: i, Storage: storage.NewStorageWithClients(users{i}, map[string]*storage.Client{
		ClientID: storage.WebClient(ClientID, ClientSecret, redirectURL),
	})}
	provider, err := op.NewProvider(&op.Config{
		CryptoKey: sha256.Sum256([]byte("test")), CryptoKeyId: "1", CodeMethodS256: true,
		SupportedScopes: []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, "groups"},
	}, i.store, op.StaticIssuer(i.URL), op.WithAllowInsecure())
	require.NoError(t, err)
	pages := http.NewServeMux()
	pages.Handle("/", provider)
	pages.HandleFunc("GET /login/username", i.loginPage)
	finish := op.NewIssuerInterceptor(provider.IssuerFromRequest)
	pages.HandleFunc("POST /login/username", finish.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.signIn(w, r, op.AuthCallbackURL(provider))
	}))
	handler = pages
	return i
}

// Asked returns the parameters of the last authorization request.
func (i *Issuer) Asked() url.Values {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// SignedInAgo makes the issuer say that people signed in there so long ago.
func (i *Issuer) SignedInAgo(ago time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ago = ago
}

// Short makes the issuer keep e-mail address and groups out of the ID token: only the userinfo endpoint has them.
func (i *Issuer) Short(short bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.short = short
}

// Fault makes a function see each request first. If it returns true, it has answered. Nil ends the fault.
func (i *Issuer) Fault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = fault
}

var loginTemplate = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><title>Test issuer</title><h1>Test issuer</h1>
<form method="post"><input type="hidden" name="id" value="{{.}}"><label>User name <input name="user"></label>
<button name="do" value="allow">Sign in</button><button name="do" value="deny">Cancel</button></form>`))

func (i *Issuer) loginPage(w http.ResponseWriter, r *http.Request) {
	_ = loginTemplate.Execute(w, r.URL.Query().Get("authRequestID")) // the browser has gone
}

func (i *Issuer) signIn(w http.ResponseWriter, r *http.Request, callback func(context.Context, string) string) {
	id := r.FormValue("id")
	if r.FormValue("do") == "deny" {
		request, err := i.store.AuthRequestByID(r.Context(), id)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, request.GetRedirectURI()+"?"+url.Values{
			"error": {"access_denied"}, "error_description": {"The person <b>cancelled</b>."}, "state": {request.GetState()},
		}.Encode(), http.StatusFound)
		return
	}
	if err := i.store.CheckUsernamePassword(r.FormValue("user"), "", id); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	http.Redirect(w, r, callback(r.Context(), id), http.StatusFound)
}

// users are the people, as the storage asks for them.
type users struct{ *Issuer }

// GetUserByID implements storage.UserStore.
func (u users) GetUserByID(id string) *storage.User { return u.GetUserByUsername(id[len("sub-"):]) }

// GetUserByUsername implements storage.UserStore.
func (u users) GetUserByUsername(name string) *storage.User {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, found := u.people[name]
	if !found {
		return nil
	}
	return &storage.User{ID: "sub-" + p.Name, Username: p.Name, Email: p.Email, EmailVerified: true}
}

// ExampleClientID implements storage.UserStore.
func (u users) ExampleClientID() string { return storage.ServiceUserID }

// store is the storage of the example, with groups.
type store struct {
	*storage.Storage
	issuer *Issuer
}

// earlier is a request of a person who signed in at the issuer some time ago.
type earlier struct {
	*storage.AuthRequest
	ago time.Duration
}

// GetAuthTime implements op.AuthRequest.
func (e earlier) GetAuthTime() time.Time { return e.AuthRequest.GetAuthTime().Add(-e.ago) }

// AuthRequestByCode implements op.Storage.
func (s *store) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	found, err := s.Storage.AuthRequestByCode(ctx, code)
	if err != nil {
		return nil, err
	}
	request, ok := found.(*storage.AuthRequest)
	if !ok {
		return nil, fmt.Errorf("a request of type %T", found)
	}
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	return earlier{request, s.issuer.ago}, nil
}

// CreateAccessToken implements op.Storage.
func (s *store) CreateAccessToken(ctx context.Context, request op.TokenRequest) (string, time.Time, error) {
	if wrapped, ok := request.(earlier); ok {
		request = wrapped.AuthRequest
	}
	return s.Storage.CreateAccessToken(ctx, request)
}

// SetUserinfoFromRequest sets the claims of an ID token.
func (s *store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	if err := s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes); err != nil {
		return err
	}
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	if !s.issuer.short {
		p := s.issuer.people[request.GetSubject()[len("sub-"):]]
		info.PreferredUsername, info.Email, info.EmailVerified = p.Name, p.Email, true
		addGroups(info, p)
	}
	return nil
}

// SetUserinfoFromToken sets the claims of the userinfo endpoint.
func (s *store) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	if err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin); err != nil {
		return err
	}
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	addGroups(info, s.issuer.people[subject[len("sub-"):]])
	return nil
}

func addGroups(info *oidc.UserInfo, p Person) {
	if p.Overage {
		info.AppendClaims("_claim_names", map[string]string{"groups": "src1"})
		info.AppendClaims("_claim_sources", map[string]any{"src1": map[string]string{"endpoint": "https://directory.example/groups"}})
	}
	if p.Groups != nil {
		info.AppendClaims("groups", p.Groups)
	}
}
