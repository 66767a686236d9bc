package awssim

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds a request's body. The largest one that Quartermaster sends is a policy document.
const maxBody = 1 << 20

// homeRegion is the region of the global services in partition aws.
const homeRegion = "us-east-1"

// Operation names one API operation.
type Operation struct {
	Service string // the SigV4 service name, such as iam
	Name    string // such as CreateUser
}

// MutatingOperations returns all operations that change state, sorted by service and name, for tests over all of them.
var MutatingOperations = mutatingOperations()

// operation is the implementation of one API operation.
type operation struct {
	service, name string
	mutates       bool
	checksum      bool // S3 requires a checksum of the body
	// needs returns the permissions that the caller must have; nil when the operation needs none, such as sts:GetCallerIdentity.
	needs func(c *call) []question
	// do performs the operation. It changes only drafts, which are committed when it returns no error.
	do func(c *call) (any, *apiError)
}

// operations are all operations by service and name.
var operations = indexOperations(stsOperations, iamUserOperations, iamCredentialOperations, iamAccountOperations, iamPolicyOperations,
	accountOperations, curOperations, exportOperations, bucketOperations)

func indexOperations(groups ...[]operation) map[string]map[string]*operation {
	all := map[string]map[string]*operation{}
	for _, group := range groups {
		for i := range group {
			op := &group[i]
			if all[op.service] == nil {
				all[op.service] = map[string]*operation{}
			}
			all[op.service][op.name] = op
		}
	}
	return all
}

func mutatingOperations() []Operation {
	var all []Operation
	for _, service := range services {
		for _, name := range keys(operations[service]) {
			if operations[service][name].mutates {
				all = append(all, Operation{Service: service, Name: name})
			}
		}
	}
	return all
}

// apiError is the refusal of a request, before a protocol encodes it.
type apiError struct {
	code    string
	message string
	status  int
	detail  map[string]any // additional members of a JSON error
	header  http.Header    // additional headers
}

func refuse(status int, code, message string) *apiError {
	return &apiError{code: code, message: message, status: status}
}

// call is one request on its way through the simulator.
type call struct {
	sim     *Sim
	http    *http.Request
	body    []byte
	service string // from the credential scope
	region  string // from the credential scope
	wire    protocol

	name  string // of the operation; empty when it is unknown
	op    *operation
	input map[string]any
	s3    s3Target

	caller     identity
	accountID  string // the account that is addressed
	invocation string
	attempt    int
	requestID  string

	stale   bool // a fault asked for a stale read
	drafts  map[string]*Account
	effects []Effect
}

// identity is who signed a request.
type identity struct {
	arn       string
	userID    string
	accountID string
	session   *session // nil for long-lived keys
}

// protocol turns requests into calls and answers into responses.
type protocol interface {
	// decode sets name and input, or refuses the request.
	decode(c *call) *apiError
	// invalid refuses an input that breaks the model's constraints.
	invalid(c *call, found []violation) *apiError
	// mistyped refuses an input whose types differ from the model's.
	mistyped(c *call, wrong *wrongType) *apiError
	// unknown refuses an operation that does not exist.
	unknown(c *call) *apiError
	// succeed and fail encode the response.
	succeed(c *call, out any) *response
	fail(c *call, e *apiError) *response
	// refusal returns a general refusal with the code and status that the protocol uses for it.
	refusal(c *call, kind refusalKind, message string) *apiError
}

// refusalKind is a refusal for which every protocol has its own code.
type refusalKind int

const (
	accessDenied refusalKind = iota
	unknownKey
	badSignature
	skewedClock
	expiredToken
	incompleteSignature
	throttled
	internalError
	unavailable
	wrongScope
)

// response is an encoded answer, which a fault may still replace or lose.
type response struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP answers one AWS request. The credential scope names the service.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the request's body is longer than the simulator reads", http.StatusRequestEntityTooLarge)
		return
	}
	c := &call{
		sim: s, http: r, body: body, drafts: map[string]*Account{},
		invocation: r.Header.Get("Amz-Sdk-Invocation-Id"), attempt: sdkAttempt(r.Header.Get("Amz-Sdk-Request")),
	}
	out, fault := c.answer()
	s.opts.Logger.DebugContext(r.Context(), "aws request", "service", c.service, "operation", c.name,
		"account", c.accountID, "attempt", c.attempt, "status", out.status, "fault", fault.kind())
	deliver(r.Context(), w, out, fault)
}

// answer computes the answer to a request under the simulator's lock. The fault, if any, affects how deliver sends it.
func (c *call) answer() (*response, *Fault) {
	s := c.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	c.requestID = s.uuid()

	refused := c.prepare()
	var out *response
	decision := "ok"
	var fault *Fault
	if refused == nil { // faults need to know the account of the request
		fault = s.matchFault(c)
	}
	switch {
	case fault != nil && fault.When == Before && fault.replaces():
		out, decision = c.faulty(fault), string(fault.Kind)
	default:
		if refused == nil {
			c.stale = fault != nil && fault.Kind == StaleRead
			out, refused = c.perform()
		}
		if refused != nil {
			out, decision = c.wire.fail(c, refused), refused.code
		}
		if fault != nil && fault.When == After && fault.replaces() {
			out, decision = c.faulty(fault), string(fault.Kind)
		}
	}
	s.requests = appendBounded(s.requests, Request{
		Time: s.now(), AccountID: c.accountID, Service: c.service, Operation: c.name, Input: c.digest(), CallerARN: c.caller.arn,
		InvocationID: c.invocation, Attempt: c.attempt, Decision: decision,
	})
	return out, fault
}

// prepare authenticates and decodes a request, and finds the account that it addresses.
func (c *call) prepare() *apiError {
	signature, refused := c.readSignature()
	if refused != nil {
		return refused
	}
	decodeErr := c.wire.decode(c)
	if refused := c.authenticate(signature); refused != nil {
		return refused
	}
	if decodeErr != nil {
		return decodeErr
	}
	c.op = operations[c.service][c.name]
	c.accountID = c.caller.accountID
	if target := c.text("RoleArn"); c.service == "sts" && target != "" {
		c.accountID = arnField(target, 4)
	}
	return nil
}

// perform validates, authorizes and performs a call, and commits its effects.
func (c *call) perform() (*response, *apiError) {
	if c.op == nil {
		return nil, c.refuseUnknown()
	}
	if shape := shapes[c.service+"."+c.name]; shape != nil {
		found, mistyped := shape.check(c.input)
		if mistyped != nil {
			return nil, c.wire.mistyped(c, mistyped)
		}
		if len(found) > 0 {
			return nil, c.wire.invalid(c, found)
		}
	}
	if refused := c.authorize(); refused != nil {
		return nil, refused
	}
	if refused := c.signedUp(); refused != nil {
		return nil, refused
	}
	if refused := c.limit(); refused != nil {
		return nil, refused
	}
	if refused := c.checkBody(); refused != nil {
		return nil, refused
	}
	out, refused := c.op.do(c)
	if refused != nil {
		return nil, refused
	}
	for _, id := range keys(c.drafts) {
		// Copy the draft once more, which sorts its lists and removes all references to the input.
		c.sim.commit(c.sim.accounts[id], c.drafts[id].clone(), c.service)
	}
	for _, e := range c.effects {
		c.sim.effects = appendBounded(c.sim.effects, e)
	}
	return c.wire.succeed(c, out), nil
}

// account returns the state of the caller's account that writes act on.
func (c *call) account() *Account { return c.sim.accounts[c.accountID].current }

// view returns the state of the caller's account that reads of this service see.
func (c *call) view() *Account {
	return c.sim.view(c.sim.accounts[c.accountID], c.service, c.stale)
}

// draft returns a copy of an account's state for changes. It is committed when the operation succeeds.
func (c *call) draft(accountID string) *Account {
	if c.drafts[accountID] == nil {
		c.drafts[accountID] = c.sim.accounts[accountID].current.clone()
	}
	return c.drafts[accountID]
}

// effect records a change of the caller's account.
func (c *call) effect(resource, what string) { c.effectIn(c.accountID, resource, what) }

func (c *call) effectIn(accountID, resource, what string) {
	c.effects = append(c.effects, Effect{
		Time: c.sim.now(), AccountID: accountID, Service: c.service, Operation: c.name, Resource: resource, What: what,
		InvocationID: c.invocation, Attempt: c.attempt,
	})
}

// text returns a string member of the input; "" when it is absent.
func (c *call) text(name string) string {
	text, _ := c.input[name].(string)
	return text
}

// has reports whether the input has a member.
func (c *call) has(name string) bool { return c.input[name] != nil }

// number returns an integer member of the input, or a default. The constraints have checked its type.
func (c *call) number(name string, def int) int {
	var text string
	switch v := c.input[name].(type) {
	case string:
		text = v
	case interface{ String() string }:
		text = v.String()
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return def
}

// flag returns a boolean member of the input, or a default.
func (c *call) flag(name string, def bool) bool {
	switch v := c.input[name].(type) {
	case bool:
		return v
	case string:
		return v == "true"
	}
	return def
}

// tags returns a list of Key/Value pairs of the input, in the order of the input.
func (c *call) tags(name string) []tag {
	list, _ := c.input[name].([]any)
	var out []tag
	for _, v := range list {
		if pair, ok := v.(map[string]any); ok {
			key, _ := pair["Key"].(string)
			value, _ := pair["Value"].(string)
			out = append(out, tag{Key: key, Value: value})
		}
	}
	return out
}

// tag is a key and its value, for XML and JSON.
type tag struct {
	Key   string `json:"Key" xml:"Key"`
	Value string `json:"Value" xml:"Value"`
}

// tagList returns tags in the order of their keys.
func tagList(tags map[string]string) []tag {
	list := make([]tag, 0, len(tags))
	for _, key := range keys(tags) {
		list = append(list, tag{Key: key, Value: tags[key]})
	}
	return list
}

func sdkAttempt(header string) int {
	for part := range strings.SplitSeq(header, ";") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(part), "attempt="); ok {
			attempt, _ := strconv.Atoi(n) // 0 when the client did not send it
			return attempt
		}
	}
	return 0
}

// deliver writes the answer, unless the fault loses, delays or breaks it.
func deliver(ctx context.Context, w http.ResponseWriter, out *response, fault *Fault) {
	switch fault.kind() {
	case Timeout:
		hold(ctx, fault.Delay)
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
		return
	case Slow:
		pause(ctx, fault.Delay)
	case MalformedBody:
		out = &response{status: out.status, header: out.header, body: bytes.Repeat([]byte("<{"), 16)}
	}
	header := w.Header()
	for name, values := range out.header {
		header[name] = slices.Clone(values)
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // ignore the error: the client may be gone
}

// pause waits by the machine's clock, because it simulates time on the network.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// hold waits until the client closes the connection, or until the limit if there is one.
func hold(ctx context.Context, limit time.Duration) {
	if limit > 0 {
		pause(ctx, limit)
		return
	}
	<-ctx.Done()
}
