package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"quartermaster/api/client"
)

// apiOptions name the API and the key. A command that embeds them may ask for a *client.Client.
type apiOptions struct {
	APIURL     string        `name:"api-url" help:"URL of the API." env:"QM_API_URL" placeholder:"URL"`
	APIKeyFile string        `name:"api-key-file" help:"File that holds the API key. Without it, the variable QM_API_KEY holds the key." env:"QM_API_KEY_FILE" placeholder:"FILE"`
	Timeout    time.Duration `help:"How long one request may take, its answer included." env:"QM_API_TIMEOUT" default:"30s"`
	RetryFor   time.Duration `help:"How long a request without an answer is repeated. 0: not at all." env:"QM_API_RETRY_FOR" default:"1m"`
	RetryWait  time.Duration `help:"The wait before the first repeat." default:"500ms" hidden:""`
}

// ProvideClient makes the client of the API for the command.
func (o apiOptions) ProvideClient(e *env) (*client.Client, error) {
	if o.APIURL == "" {
		return nil, usage("the API's address is missing: set QM_API_URL (or --api-url), for example to https://aws.provider.example")
	}
	key, err := o.key()
	if err != nil {
		return nil, err
	}
	api, err := client.New(client.Options{
		URL: o.APIURL, Key: key, Agent: "quartermaster/" + programVersion(),
		Timeout: o.Timeout, RetryFor: o.RetryFor, FirstWait: o.RetryWait,
		Repeating: func(why error, wait time.Duration) {
			fmt.Fprintf(e.logs, "no answer yet (%v): trying again in %s\n", shortly(why), wait.Round(100*time.Millisecond))
		},
	})
	if err != nil {
		return nil, usage("QM_API_URL: %w", err)
	}
	if at, err := url.Parse(o.APIURL); err == nil && at.Scheme == "http" && loopback("QM_API_URL", at.Host) != nil {
		fmt.Fprintln(e.logs, "warning: QM_API_URL is not https, so the API key and the answers travel in clear text")
	}
	return api, nil
}

// shortly removes the URL from an error of net/http.
func shortly(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// keyVariable is the variable that holds the API key.
const keyVariable = "QM_API_KEY"

// key returns the API key. It is no option by itself, because other users of a machine can read command lines.
func (o apiOptions) key() (string, error) {
	key := os.Getenv(keyVariable)
	if key != "" && os.Getenv(keyVariable+"_FILE") != "" {
		return "", usage("QM_API_KEY and QM_API_KEY_FILE are both set: keep one")
	}
	if o.APIKeyFile != "" {
		text, err := os.ReadFile(o.APIKeyFile)
		if err != nil {
			return "", usage("the file of the API key: %w", err)
		}
		key = string(text)
	}
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return "", usage("the API key is missing: set QM_API_KEY, or name a file by QM_API_KEY_FILE (or --api-key-file). " +
			"An admin creates keys with: quartermaster keys create. The first one of a provider: quartermaster providers key")
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", usage("the API key contains characters that no key has: copy only the text that begins with qm_live_")
	}
	return key, nil
}

// outputOptions say how results are printed.
type outputOptions struct {
	JSON  bool `help:"Print the JSON of the API, unchanged: one object a line for lists." xor:"output"`
	Quiet bool `short:"q" help:"Print ids only, one a line." xor:"output"`
}

// onceOptions make a command that shows a secret safe to repeat: with the same Idempotency-Key it takes effect once.
type onceOptions struct {
	IdempotencyKey string `help:"Text that makes the command safe to run again within 24 hours: with the same one it does its work once. Unset: a random one." placeholder:"TEXT"`
}

func (o onceOptions) idempotencyKey() *string {
	key := cmp.Or(o.IdempotencyKey, uuid.NewString())
	return &key
}

// pageOptions say how much of a list is printed.
type pageOptions struct {
	Limit int  `help:"Print so many at most." default:"100"`
	All   bool `help:"Print all of them, whatever --limit says."`
}

// poolOptions name a pool.
type poolOptions struct {
	Marketplace string `help:"Marketplace id." required:""`
	Environment string `help:"production or test." enum:"production,test" default:"production"`
}

// readFile reads a file, or the standard input for -. It returns its name for people.
func readFile(e *env, path string, most int64) (text []byte, name string, err error) {
	in, name := e.in, "the standard input"
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, path, usage("%w", err)
		}
		defer func() { _ = file.Close() }()
		in, name = file, path
	}
	text, err = io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(text)) > most {
		err = usage("%s has more than %d bytes", name, most)
	}
	return text, name, err
}

// named returns nil for an option that was not given.
func named[T comparable](value T) *T {
	if value == *new(T) {
		return nil
	}
	return &value
}

// namedList returns nil for a list that was not given.
func namedList[T any](values []T) *[]T {
	if len(values) == 0 {
		return nil
	}
	return &values
}

// orDash returns the text behind a pointer, or a dash.
func orDash[T ~string](text *T) T { return cmp.Or(or(text, ""), "-") }
