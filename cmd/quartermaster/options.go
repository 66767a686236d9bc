package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"quartermaster/internal/postgres"
	"quartermaster/internal/secrets"
	"quartermaster/migrations"
)

// databaseOptions name the database. A command that embeds them may ask for a *postgres.DB.
type databaseOptions struct {
	DatabaseURL string `help:"PostgreSQL, as postgres://user:password@host:port/name?sslmode=…" env:"QM_DATABASE_URL,DATABASE_URL" placeholder:"URL"`
}

// url returns the address of the database.
func (o databaseOptions) url() (string, error) {
	if o.DatabaseURL == "" {
		return "", usage("this command needs the database: set QM_DATABASE_URL (or --database-url) to postgres://user:password@host:port/name")
	}
	return o.DatabaseURL, nil
}

// ProvideDB opens the database for the command. It refuses a schema of another version, which the program would misread.
func (o databaseOptions) ProvideDB(e *env) (*postgres.DB, error) {
	url, err := o.url()
	if err != nil {
		return nil, err
	}
	db, err := postgres.Open(e.ctx, url)
	if err != nil {
		return nil, err
	}
	e.onClose(db.Close)
	return db, migrations.Check(e.ctx, db.SQL().DB)
}

// sealOptions hold the keys that seal Temporal's payloads and the passwords. A command that embeds them may ask for a
// *secrets.Ring.
type sealOptions struct {
	SealKeys string `help:"Keys that seal payloads and passwords, as id:base64,id:base64: the first one seals, all can open. Create one with: quartermaster seal-keys create." env:"QM_SEAL_KEYS" required:"" placeholder:"KEYS"`
}

// ProvideRing reads the seal keys for the command.
func (o sealOptions) ProvideRing() (*secrets.Ring, error) { return parseRing(o.SealKeys) }

func parseRing(keys string) (*secrets.Ring, error) {
	ring, err := secrets.ParseRing(keys)
	if err != nil {
		return nil, fmt.Errorf("QM_SEAL_KEYS: %w", err)
	}
	return ring, nil
}

// awsOptions say which AWS is used.
type awsOptions struct {
	AWSEndpoint string `name:"aws-endpoint" help:"Address of a local AWS simulator. Unset: AWS." env:"QM_AWS_ENDPOINT" placeholder:"URL"`
}

// Validate refuses a simulator that is not on this machine, so that credentials are never sent elsewhere.
func (o awsOptions) Validate() error {
	if o.AWSEndpoint == "" {
		return nil
	}
	u, err := url.Parse(o.AWSEndpoint)
	if err != nil || u.Scheme != "http" {
		return errors.New("QM_AWS_ENDPOINT: write it as http://127.0.0.1:PORT")
	}
	return loopback("QM_AWS_ENDPOINT", u.Host)
}

// simulated reports whether AWS is a simulator.
func (o awsOptions) simulated() bool { return o.AWSEndpoint != "" }

// callerConfig returns the service's own identity in AWS, from the SDK's usual chain of credentials.
func (o awsOptions) callerConfig(ctx context.Context) (aws.Config, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion("us-east-1"))
	if err != nil {
		return cfg, fmt.Errorf("reading the AWS credentials of the service: %w", err)
	}
	return cfg, nil
}

// loopback refuses an address that is not on this machine.
func loopback(name, hostPort string) error {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", name, hostPort)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s: %q is not on this machine: only a loopback address is allowed", name, hostPort)
}

// protectedOptions name the accounts that the configuration protects. API and worker need the same.
type protectedOptions struct {
	ProtectedAccounts []string `help:"AWS account ids that never enter a pool, such as payer accounts. Use the same list for the API and the workers." env:"QM_PROTECTED_ACCOUNTS" placeholder:"ID"`
}
