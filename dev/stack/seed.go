package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/console"
	"quartermaster/internal/apikey"
	"quartermaster/internal/awssim"
	"quartermaster/internal/provision"
)

// The stock of the demonstration: a provider that sells through two marketplaces.
const (
	Provider        = "acme"
	NewReports      = "cloud-store"   // its pool creates CUR 2.0 exports
	ExistingReports = "partner-hub"   // its pool creates legacy reports
	ExistingReport  = "company-usage" // every SPAM account already has a report of this name
	roleName        = "quartermaster"
)

// Client is an API client of one provider.
type Client struct {
	Base string
	Key  string
}

// Seed makes the provider, its two pools and an API key, and brings the stock to perModel Ready accounts per pool and
// model. Every account goes in by the API, which makes its external id; the simulated role then demands that.
func (s *Stack) Seed(ctx context.Context, perModel int) (*Client, error) {
	if err := s.Store.Providers.Create(ctx, Provider, "Acme Distribution"); err != nil {
		return nil, err
	}
	text, key := apikey.New(Provider, "development", provision.RoleAdmin)
	if _, err := s.Store.APIKeys.Create(ctx, "development", key); err != nil {
		return nil, err
	}
	client := &Client{Base: s.API, Key: text}
	number, err := s.adopt(ctx)
	if err != nil {
		return nil, err
	}
	var wanted []Stocked
	for marketplace, kind := range map[string]provision.ReportKind{NewReports: provision.DataExport, ExistingReports: provision.LegacyCUR} {
		pool := provision.Pool{Provider: Provider, Marketplace: marketplace, Environment: provision.Production}
		if err := s.createPool(ctx, pool, kind); err != nil {
			return nil, err
		}
		for _, model := range []provision.Model{provision.ModelSPAM, provision.ModelECAM} {
			ready, err := s.Store.Accounts.List(ctx, Provider, provision.AccountFilter{
				Statuses:    []provision.AccountStatus{provision.AccountReady},
				Marketplace: marketplace, Environment: provision.Production, Model: model, Limit: perModel,
			})
			if err != nil {
				return nil, err
			}
			for range perModel - len(ready) {
				number++
				wanted = append(wanted, Stocked{marketplace, model, number})
			}
		}
	}
	return client, s.AddAccounts(ctx, client, wanted...)
}

// linkLifetime is how long a developer has to open the console.
const linkLifetime = time.Hour

// ConsoleLink returns an address of the console that signs its first visitor in with the client's key.
func (s *Stack) ConsoleLink(ctx context.Context, client *Client) (string, error) {
	id, _, _ := apikey.Parse(client.Key)
	return console.NewLink(ctx, s.Store.Sessions, s.API, provision.Session{
		KeyID: id, Grants: []provision.Grant{{Provider: Provider, Role: provision.RoleAdmin}},
	}, linkLifetime)
}

// adopt adds the accounts of an existing database to the simulator, and returns the highest number in use.
func (s *Stack) adopt(ctx context.Context) (highest int, err error) {
	filter := provision.AccountFilter{Limit: 500}
	for {
		accounts, err := s.Store.Accounts.List(ctx, Provider, filter)
		if err != nil {
			return 0, err
		}
		for _, a := range accounts {
			var n int
			if _, err := fmt.Sscanf(a.ID, "1110%08d", &n); err == nil {
				highest = max(highest, n)
			}
			if err := s.Simulate(a); err != nil {
				return 0, err
			}
		}
		if len(accounts) < filter.Limit {
			return highest, nil
		}
		last := accounts[len(accounts)-1]
		filter.After = &provision.AccountCursor{AddedAt: last.AddedAt, ID: last.ID}
	}
}

// Stocked is an account to add to a pool. Its id contains the number.
type Stocked struct {
	Marketplace string
	Model       provision.Model
	Number      int
}

// ID returns the AWS account id.
func (a Stocked) ID() string { return fmt.Sprintf("1110%08d", a.Number) }

// AddAccounts adds the accounts to their pools by the API, and to the simulated AWS, and returns when all of them are Ready:
// the role in each demands the external id that the API has made, so an account passes its verification only after that.
func (s *Stack) AddAccounts(ctx context.Context, client *Client, accounts ...Stocked) error {
	for _, a := range accounts {
		var added openapi.Account
		status, err := client.Do(ctx, http.MethodPost, "/v1/accounts", openapi.NewAccount{
			ID: a.ID(), Marketplace: a.Marketplace, Environment: provision.Production, Model: a.Model,
			Name: fmt.Sprintf("Stock %s %d", a.Model, a.Number), RootEmail: "aws+" + a.ID() + "@acme.example",
			RoleARN: "arn:aws:iam::" + a.ID() + ":role/" + roleName,
		}, &added)
		if err != nil {
			return err
		}
		if status != http.StatusCreated {
			return fmt.Errorf("adding account %s: status %d", a.ID(), status)
		}
		simulated := provision.Account{ID: a.ID(), Model: a.Model, RootEmail: added.RootEmail, ExternalID: added.ExternalID}
		if err := s.Simulate(simulated); err != nil {
			return err
		}
	}
	for _, a := range accounts {
		status, err := client.Do(ctx, http.MethodPost, "/v1/accounts/"+a.ID()+"/verify", nil, &openapi.Account{})
		if err != nil && status != http.StatusConflict { // an order has it already, so it passed
			return err
		}
	}
	for _, a := range accounts {
		if err := s.verified(ctx, client, a.ID()); err != nil {
			return err
		}
	}
	return nil
}

// verified waits until the account has passed its verification. An order may hold it by then.
func (s *Stack) verified(ctx context.Context, client *Client, id string) error {
	for {
		var account openapi.Account
		if _, err := client.Do(ctx, http.MethodGet, "/v1/accounts/"+id, nil, &account); err != nil {
			return err
		}
		if account.VerifiedAt != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("account %s is not verified, %+v: %w", id, account, ctx.Err())
		case err := <-s.Failed():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Simulate adds the account to the simulated AWS, with a role that demands its external id.
func (s *Stack) Simulate(a provision.Account) error {
	account := awssim.Account{
		ID: a.ID, Email: a.RootEmail,
		Role: awssim.Role{Name: roleName, ExternalID: a.ExternalID, TrustedPrincipal: s.callerKey.ARN},
		Contact: &awssim.Contact{FullName: "Acme Distribution", AddressLine1: "1 Harbor Road", City: "Hamburg", StateOrRegion: "HH",
			PostalCode: "20457", CountryCode: "DE", PhoneNumber: "+49 40 1234567", CompanyName: "Acme Distribution GmbH"},
		// Customers must be able to change the first password.
		PasswordPolicy: &awssim.PasswordPolicy{MinimumPasswordLength: 14, AllowUsersToChangePassword: true},
		AlternateContacts: map[string]awssim.AlternateContact{
			"OPERATIONS": {Name: "Acme NOC", Title: "Operations", EmailAddress: "noc@acme.example", PhoneNumber: "+49 40 7654321"},
		},
	}
	if a.Model == provision.ModelSPAM {
		account.Alias = "acme-stock-" + a.ID
		seedReport(&account)
	}
	return s.Sim.Load(awssim.Seed{Accounts: []awssim.Account{account}})
}

// Do calls the API and decodes a 2xx response into out; any other response becomes an error with its body.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) (status int, err error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	status, text, err := c.send(ctx, method, path, "application/json", body)
	if err != nil {
		return status, err
	}
	return status, json.Unmarshal(text, out)
}

// Upload POSTs a file.
func (c *Client) Upload(ctx context.Context, path, contentType, file string) error {
	_, _, err := c.send(ctx, http.MethodPost, path, contentType, strings.NewReader(file))
	return err
}

func (c *Client) send(ctx context.Context, method, path, contentType string, body io.Reader) (status int, text []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Base+path, body)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.Key)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if text, err = io.ReadAll(response.Body); err != nil {
		return response.StatusCode, nil, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return response.StatusCode, nil, fmt.Errorf("%s %s: %w", method, path, errors.New(string(bytes.TrimSpace(text))))
	}
	return response.StatusCode, text, nil
}

// PlaceOrder places an order.
func (c *Client) PlaceOrder(ctx context.Context, order openapi.NewOrder) (status int, placed openapi.Order, err error) {
	status, err = c.Do(ctx, http.MethodPost, "/v1/orders", order, &placed)
	return status, placed, err
}

// Order returns an order.
func (c *Client) Order(ctx context.Context, id string) (order openapi.Order, err error) {
	_, err = c.Do(ctx, http.MethodGet, "/v1/orders/"+id, nil, &order)
	return order, err
}

// seedReport gives the account a legacy report that has delivered for some time.
func seedReport(account *awssim.Account) {
	bucket := "acme-usage-" + account.ID
	account.Buckets = map[string]awssim.Bucket{bucket: {
		Region:  "us-east-1",
		Objects: map[string]int{"usage/" + ExistingReport + "/20261101-20261201/manifest.json": 1834},
	}}
	account.Reports = map[string]awssim.Report{ExistingReport: {
		TimeUnit: "HOURLY", Format: "Parquet", Compression: "Parquet", AdditionalSchemaElements: []string{"RESOURCES"},
		S3Bucket: bucket, S3Prefix: "usage", S3Region: "us-east-1",
		ReportVersioning: "OVERWRITE_REPORT", AdditionalArtifacts: []string{"ATHENA"},
		ReportStatus: &awssim.ReportStatus{LastDelivery: "20261121T040000Z", LastStatus: "SUCCESS"},
	}}
}

// createPool creates a pool with the default settings and this kind of report, unless it exists.
func (s *Stack) createPool(ctx context.Context, pool provision.Pool, kind provision.ReportKind) error {
	config := provision.DefaultPool(pool)
	config.Settings.ReportKind = kind
	_, err := s.Store.Pools.Create(ctx, "setup", config)
	if errors.Is(err, provision.ErrConflict) {
		return nil
	}
	return err
}
