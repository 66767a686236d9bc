package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"quartermaster/internal/provision"
)

const (
	mostAnswer = 4 << 10 // bytes of an answer that are read at all
	keptAnswer = 512     // characters of it that are kept for the operator
)

// Sender delivers events.
type Sender struct {
	client   *http.Client
	schedule []time.Duration
	jitter   func() float64 // 0 to 1
}

// NewSender makes a Sender. schedule is how long to wait before each attempt after the first.
func NewSender(policy Policy, schedule []time.Duration, jitter func() float64) *Sender {
	return &Sender{client: policy.Client(), schedule: schedule, jitter: jitter}
}

// Send makes one attempt, signed with every secret, and returns its outcome. An error is one of our own: nothing was sent.
func (s *Sender) Send(ctx context.Context, sending provision.DeliveryJob, secrets []string) (provision.DeliveryOutcome, error) {
	var outcome provision.DeliveryOutcome
	body, err := sending.Event.Body()
	if err != nil {
		return outcome, err
	}
	began := time.Now()
	outcome.At = began
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, sending.Webhook.URL, bytes.NewReader(body))
	if err == nil {
		if err := sign(request.Header, sending.Event.ID, began, body, secrets); err != nil {
			return outcome, err
		}
		s.post(request, &outcome)
	} else {
		outcome.Error = "the URL cannot be called"
	}
	if ctx.Err() != nil && outcome.StatusCode == 0 {
		return outcome, ctx.Err() // the process stops: the receiver is not at fault
	}
	outcome.TookMS = int(min(time.Since(began).Milliseconds(), math.MaxInt32))
	outcome.Gone = outcome.StatusCode == http.StatusGone
	if outcome.Error != "" && sending.Attempts < len(s.schedule) {
		wait := max(s.schedule[sending.Attempts], outcome.RetryAfter)
		wait += time.Duration(float64(wait) * s.jitter() / 10) // up to a tenth later, so that what failed together is not sent together
		outcome.RetryIn = &wait
	}
	return outcome, nil
}

// sign sets the headers of Standard Webhooks: a signature for each secret, the newest first.
func sign(header http.Header, id string, at time.Time, body []byte, secrets []string) error {
	var signatures []string
	for _, secret := range secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return errors.New("a secret is not in the form whsec_<base64>") // without the cause, which may quote it
		}
		signature, err := signer.Sign(id, at, body)
		if err != nil {
			return err
		}
		signatures = append(signatures, signature)
	}
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", "Quartermaster-Webhooks/1.0")
	header.Set(standardwebhooks.HeaderWebhookID, id)
	header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}

func (s *Sender) post(request *http.Request, outcome *provision.DeliveryOutcome) {
	answer, err := s.client.Do(request)
	if err != nil {
		outcome.Error = inWords(err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	outcome.StatusCode = answer.StatusCode
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return
	}
	outcome.Error = fmt.Sprintf("the receiver answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		outcome.Error += ": redirects are not followed, register the address that it leads to"
	}
	if outcome.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), time.Now()); outcome.RetryAfter > 0 {
		outcome.Error += fmt.Sprintf(", and asks to wait %s", outcome.RetryAfter)
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, mostAnswer)) // what was read is enough
	outcome.Answer = readable(text)
}

// longestRetryAfter bounds how long a receiver may postpone an attempt that the schedule plans earlier.
const longestRetryAfter = time.Hour

// retryAfter returns how long an answer asks to wait, in whole seconds and at most longestRetryAfter. It is 0 when the answer does
// not say, or names a time that is over. Source: RFC 9110, section 10.2.3.
func retryAfter(text string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = time.Duration(min(seconds, uint64(longestRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = max(at.Sub(now), 0)
	}
	return min(wait.Round(time.Second), longestRetryAfter)
}

// readable returns the beginning of a text without characters that a database or a terminal does not accept.
func readable(text []byte) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, string(text))
	if characters := []rune(clean); len(characters) > keptAnswer {
		clean = string(characters[:keptAnswer])
	}
	return strings.TrimSpace(clean)
}

// inWords describes the error of an attempt. The texts of net/http contain the URL, which may contain a token, so they are not kept.
func inWords(err error) string {
	_, isDNS := errors.AsType[*net.DNSError](err)
	network, isNetwork := errors.AsType[net.Error](err)
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, ErrForbidden):
		return "the address that the name resolves to is not a public one, or its port is not allowed: webhooks do not go there"
	case isDNS:
		return "the name of the receiver cannot be resolved"
	case isNetwork && network.Timeout():
		return fmt.Sprintf("no answer within %s", attemptTimeout)
	case strings.Contains(err.Error(), "tls:"), strings.Contains(err.Error(), "x509:"):
		return "no TLS connection could be made: check the certificate of the receiver"
	case isOp && op.Op == "dial":
		return "no connection could be made: the receiver refuses it or cannot be reached"
	}
	return "the connection ended before there was an answer"
}
