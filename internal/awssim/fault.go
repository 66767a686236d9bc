package awssim

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// When is whether a fault happens before or after the effect of the request.
type When string

// Before replaces the answer, and the request has no effect. After lets the effect happen first.
const (
	Before When = "before"
	After  When = "after"
)

// Kind is what a fault does.
type Kind string

// The kinds of faults. Those from Throttle to EntityTemporarilyUnmodifiable answer with the code and status that the service uses
// for this error.
const (
	Throttle                      Kind = "throttle"
	InternalError                 Kind = "internal-error" // 500
	Unavailable                   Kind = "unavailable"    // 503
	Timeout                       Kind = "timeout"        // no answer until the client goes away, or Delay has passed
	Slow                          Kind = "slow"           // the right answer, after Delay
	Reset                         Kind = "reset"          // TCP RST instead of an answer
	AccessDenied                  Kind = "access-denied"
	ExpiredToken                  Kind = "expired-token"
	MalformedBody                 Kind = "malformed-body" // 200 with a body that breaks the protocol
	StaleRead                     Kind = "stale-read"     // a read sees the state before the last write
	ConcurrentModification        Kind = "concurrent-modification"
	EntityTemporarilyUnmodifiable Kind = "entity-temporarily-unmodifiable"
	Error                         Kind = "error" // any Code, Status and Message
)

// Fault is a rule that replaces or changes the answers to requests. An empty Service, Operation or AccountID matches all. The rule
// applies to the Nth matching request (from 1), to every Every-th one, or, when both are 0, to each one, at most Times (0: no limit).
type Fault struct {
	Service   string        `json:"service,omitempty"`
	Operation string        `json:"operation,omitempty"`
	AccountID string        `json:"account_id,omitempty"` // the account that is addressed
	Nth       int           `json:"nth,omitempty"`
	Every     int           `json:"every,omitempty"`
	Times     int           `json:"times,omitempty"`
	When      When          `json:"when,omitempty"` // Before when empty
	Kind      Kind          `json:"kind"`
	Code      string        `json:"code,omitempty"`    // of kind error
	Message   string        `json:"message,omitempty"` // of any kind that answers with an error; a default when empty
	Status    int           `json:"status,omitempty"`  // of kind error
	Delay     time.Duration `json:"delay,omitempty"`   // of kinds slow and timeout, in nanoseconds
}

// rule is an injected fault with its counters.
type rule struct {
	id      int
	fault   Fault
	matched int
	fired   int
}

var faultKinds = []Kind{
	Throttle, InternalError, Unavailable, Timeout, Slow, Reset, AccessDenied, ExpiredToken, MalformedBody, StaleRead,
	ConcurrentModification, EntityTemporarilyUnmodifiable, Error,
}

// check refuses a fault that can have no effect.
func (f Fault) check() error {
	switch {
	case !slices.Contains(faultKinds, f.Kind):
		return fmt.Errorf("fault: kind %q must be one of %v", f.Kind, faultKinds)
	case f.When != "" && f.When != Before && f.When != After:
		return fmt.Errorf("fault: when %q must be before or after", f.When)
	case f.Kind == Error && (f.Code == "" || f.Status < 400 || f.Status > 599):
		return fmt.Errorf("fault: kind error needs a code and a status from 400 to 599, not code %q and status %d", f.Code, f.Status)
	case f.Kind == Slow && f.Delay <= 0:
		return fmt.Errorf("fault: kind slow needs a delay, not %v", f.Delay)
	case f.Nth < 0 || f.Every < 0 || f.Times < 0:
		return fmt.Errorf("fault: nth %d, every %d and times %d must not be negative", f.Nth, f.Every, f.Times)
	case f.Service != "" && !slices.Contains(services, f.Service):
		return fmt.Errorf("fault: service %q must be one of %v", f.Service, services)
	case f.Operation != "" && !knownOperation(f.Service, f.Operation):
		return fmt.Errorf("fault: operation %q does not exist in service %q: such a rule would never match", f.Operation, f.Service)
	}
	return nil
}

func knownOperation(service, name string) bool {
	for _, s := range services {
		if (service == "" || service == s) && operations[s][name] != nil {
			return true
		}
	}
	return false
}

// Inject adds a fault rule and returns the function that takes it away again. When several rules match a request the
// oldest that is due wins. It panics on a rule that makes no sense, because only a test's author can have written it.
func (s *Sim) Inject(f Fault) (remove func()) {
	id, err := s.inject(f)
	if err != nil {
		panic("awssim: " + err.Error())
	}
	return func() { s.removeFault(id) }
}

func (s *Sim) inject(f Fault) (int, error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	if f.When == "" {
		f.When = Before
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextRule++
	s.faults = append(s.faults, &rule{id: s.nextRule, fault: f})
	return s.nextRule, nil
}

// ClearFaults takes away the rules of one account.
func (s *Sim) ClearFaults(accountID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(r *rule) bool { return r.fault.AccountID == accountID })
}

// removeFault removes a rule and reports whether it existed.
func (s *Sim) removeFault(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(r *rule) bool { return r.id == id })
	return len(s.faults) < before
}

// matchFault returns the fault that is due for a call, and counts the match in every rule.
func (s *Sim) matchFault(c *call) *Fault {
	var due *Fault
	for _, r := range s.faults {
		f := &r.fault
		if f.Service != "" && f.Service != c.service || f.Operation != "" && f.Operation != c.name || f.AccountID != "" &&
			f.AccountID != c.accountID {
			continue
		}
		r.matched++
		fires := f.Nth == 0 && f.Every == 0 || f.Nth == r.matched || f.Every > 0 && r.matched%f.Every == 0
		if due == nil && fires && (f.Times == 0 || r.fired < f.Times) {
			r.fired++
			copied := *f
			due = &copied
		}
	}
	return due
}

func (f *Fault) kind() Kind {
	if f == nil {
		return ""
	}
	return f.Kind
}

// replaces reports whether the fault replaces the answer; slow and stale answers are real ones.
func (f *Fault) replaces() bool { return f.Kind != Slow && f.Kind != StaleRead }

// faulty makes the answer of a fault. Kinds that only spoil the delivery keep an empty one.
func (c *call) faulty(f *Fault) *response {
	e := c.faultError(f)
	if e == nil {
		return &response{status: http.StatusOK, header: http.Header{"X-Amzn-Requestid": {c.requestID}}}
	}
	if f.Message != "" {
		e.message = f.Message
	}
	return c.wire.fail(c, e)
}

func (c *call) faultError(f *Fault) *apiError {
	switch f.Kind {
	case Throttle:
		return c.wire.refusal(c, throttled, "Rate exceeded")
	case InternalError:
		return c.wire.refusal(c, internalError, "We encountered an internal error. Please try again.")
	case Unavailable:
		return c.wire.refusal(c, unavailable, "Service is unavailable. Please try again.")
	case AccessDenied:
		return c.wire.refusal(c, accessDenied, "User: "+c.caller.arn+" is not authorized to perform: "+c.service+":"+c.name)
	case ExpiredToken:
		return c.wire.refusal(c, expiredToken, "The security token included in the request is expired")
	case ConcurrentModification:
		code := map[string]string{"iam": "ConcurrentModification", "s3": "OperationAborted"}[c.service]
		if code == "" {
			code = "ConflictException"
		}
		return refuse(http.StatusConflict, code, "The request was rejected because multiple requests to change this object were "+
			"submitted simultaneously. Wait a few minutes and submit your request again.")
	case EntityTemporarilyUnmodifiable:
		return refuse(http.StatusConflict, "EntityTemporarilyUnmodifiable",
			"The entity cannot be modified while it is being created. Wait a few minutes and submit your request again.")
	case Error:
		return refuse(f.Status, f.Code, "")
	}
	return nil
}

// reset closes the connection with a TCP RST, as a failing load balancer does.
func reset(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // ignore the error: the socket may be closed already
	}
	_ = conn.Close()
}
