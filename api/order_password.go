package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// passwordWait is how long a request for a new password waits for its outcome. AWS usually needs two or three seconds.
const passwordWait = 8 * time.Second

// maySeePassword reports whether the caller may see the link to the password of an order: it is as good as the password.
func maySeePassword(who caller) bool {
	return who.May(provision.ScopeOrdersWrite) || who.May(provision.ScopeOrdersPassword)
}

// passwordResource describes the password of a completed order. It has a URL for callers who may see it, while the link works and is not
// about to be replaced.
func (s *service) passwordResource(who caller, p *provision.PasswordView) *openapi.Password {
	if p == nil {
		return nil
	}
	password := &openapi.Password{SettingSince: resource.UTC(p.SettingSince)}
	if refusal := p.Refusal; refusal != nil {
		password.Refused = &openapi.PasswordRefusal{At: refusal.At.UTC(), Code: string(refusal.Failure.Code), Reason: refusal.Failure.Cause()}
	}
	if link := p.Link; link != nil {
		password.ExpiresAt, password.RevealedAt = resource.UTC(&link.ExpiresAt), resource.UTC(link.RevealedAt)
		if link.RevealedAt == nil && s.Now().Before(link.ExpiresAt) && p.SettingSince == nil && maySeePassword(who) {
			if id, err := uuid.Parse(link.ID); err == nil {
				password.URL = resource.Optional(s.baseURL + "/reveal#" + s.revealToken(id))
			}
		}
	}
	return password
}

// IssuePassword answers POST /v1/orders/{order_id}/password. The workflow sets the password; it decides, because it looks at the sign-in
// in AWS, and records everything.
func (s *service) IssuePassword(ctx context.Context, in server.IssuePasswordRequestObject) (server.IssuePasswordResponseObject, error) {
	who := callerOf(ctx)
	request := provision.PasswordRequest{By: actionOf(ctx, &in.Body.Reason), EvenIfUsed: value(in.Body.EvenIfUsed)}
	if request.EvenIfUsed && !who.May(provision.ScopeOrdersOperate) {
		return nil, forbidden(who, provision.ScopeOrdersOperate)
	}
	view, err := s.order(ctx, in.OrderID)
	if err != nil {
		return nil, err
	}
	if view.State != provision.Completed {
		return nil, problem(codeConflict, "order %q is %s: only a completed order has a password, and a new one can be set only then",
			view.ID, view.State)
	}
	if request.Once, err = onceOf(ctx, in.Params.IdempotencyKey, in, view.ID); err != nil {
		return nil, err
	}
	if request.Once != nil {
		if err := s.IdempotencyKeys.Check(ctx, *request.Once); err != nil {
			return nil, repeated(err, "asked for a new password of order %s", "and it asks only once: read the order, whose result.password "+
				"has the link while it works; for another password, send another Idempotency-Key")
		}
	}
	outcome, ended, err := s.Workflows.IssuePassword(ctx, view.OrderKey, request, passwordWait)
	if errors.Is(err, provision.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return nil, problem(codeUnavailable, "could not confirm that the request for a new password of order %q arrived: "+
			"send the same request again, which is safe, because a request that arrives while a password is being set gets that password",
			view.ID).because(err)
	}
	if err != nil {
		return nil, err
	}
	if outcome.Refused != nil {
		return nil, passwordRefused(*outcome.Refused)
	}
	if view, err = s.order(ctx, in.OrderID); err != nil {
		return nil, problem(codeUnavailable, "order %q received the request for a new password but cannot be read at the moment: "+
			"do not send the request again, read the order", in.OrderID).because(err)
	}
	if ended {
		return server.IssuePassword200JSONResponse(s.oneOrder(ctx, view)), nil
	}
	if !s.verbs().WasTaken(ctx, view.OrderKey, request.By) { // no worker has begun with it yet
		view.Password = beingSet(view.Password, s.Now())
	}
	return server.IssuePassword202JSONResponse(s.oneOrder(ctx, view)), nil
}

// beingSet describes the password of an order for which a new one is requested.
func beingSet(p *provision.PasswordView, since time.Time) *provision.PasswordView {
	now := value(p)
	now.SettingSince, now.Refusal = &since, nil
	return &now
}

// passwordRefused is the problem for a request that was refused. The failure's reason contains no data of the customer.
func passwordRefused(f provision.Failure) error {
	code := codeConflict
	if f.Code == provision.CodeSignInInUse || f.Code == provision.CodeSignInRemoved {
		code = f.Code
	}
	return problem(code, "%s", f.Cause()).because(&f)
}
