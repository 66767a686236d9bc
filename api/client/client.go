package client

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"quartermaster/api/openapi"
)

// Options say which API is called and how. URL and Key are required.
type Options struct {
	URL      string        // of the service, such as https://aws.provider.example
	Key      string        // the API key
	Agent    string        // the User-Agent
	Timeout  time.Duration // of one request, its answer included
	RetryFor time.Duration // how long a request is repeated
	// FirstWait is the wait before the first repeat; later ones are longer. Default: half a second.
	FirstWait time.Duration
	// Repeating is called before each repeat. Default: nothing is called.
	Repeating func(why error, wait time.Duration)
}

// Client calls the API. Its embedded methods return answers that Body, Object and List read.
type Client struct {
	*openapi.Client // repeats, with a limit of time

	streams *openapi.Client // neither: a stream is read for as long as it lasts
	poll    time.Duration   // how often events are read without a stream
	stall   time.Duration   // a stream that is silent for so long is dead: the API sends something every 15 seconds
	options Options
}

// New makes a Client.
func New(o Options) (*Client, error) {
	address, err := url.Parse(o.URL)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" || address.User != nil ||
		address.RawQuery != "" || address.Fragment != "" {
		return nil, fmt.Errorf("the API's address must have the form https://host, without user, query and fragment")
	}
	if o.FirstWait == 0 {
		o.FirstWait = 500 * time.Millisecond
	}
	if o.Repeating == nil {
		o.Repeating = func(error, time.Duration) {}
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: o.Timeout,
	}
	streaming := transport.Clone()
	streaming.ResponseHeaderTimeout = o.Timeout
	identify := openapi.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+o.Key)
		r.Header.Set("User-Agent", o.Agent)
		return nil
	})
	c := &Client{poll: 2 * time.Second, stall: 45 * time.Second, options: o}
	if c.Client, err = openapi.NewClient(o.URL, identify, openapi.WithHTTPClient(&sender{
		http: &http.Client{Transport: transport, CheckRedirect: notFollowed}, options: o,
	})); err != nil {
		return nil, err
	}
	c.streams, err = openapi.NewClient(o.URL, identify, openapi.WithHTTPClient(&http.Client{Transport: streaming, CheckRedirect: notFollowed}))
	return c, err
}

// notFollowed makes a redirect the answer: a key is sent to the configured address only.
func notFollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
