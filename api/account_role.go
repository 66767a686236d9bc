package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/deploy/iam"
	"quartermaster/internal/provision"
)

// Where the principal of a trust policy is from.
const (
	principalOfRequest = "request"
	principalOfOption  = "option"
	principalOfWorker  = "worker"
)

// GetAccountRole answers GET /v1/accounts/{account_id}/role.
func (s *service) GetAccountRole(ctx context.Context, in server.GetAccountRoleRequestObject) (server.GetAccountRoleResponseObject, error) {
	account, err := s.Accounts.Get(ctx, callerOf(ctx).Provider, in.AccountID)
	if err != nil {
		return nil, accountProblem(in.AccountID, err)
	}
	pool, err := s.Pools.Get(ctx, account.Pool)
	if err != nil {
		return nil, err
	}
	trusted, err := s.trustedPrincipal(ctx, value(in.Params.PrincipalARN))
	if err != nil {
		return nil, err
	}
	_, role, _ := strings.Cut(account.RoleARN, ":role/")
	answer := server.GetAccountRole200JSONResponse{
		RoleARN: account.RoleARN,
		PermissionsPolicy: json.RawMessage(iam.RolePolicy(iam.Role{AccountID: account.ID, UserPolicyARNs: pool.Settings.UserPolicyARNs,
			PermissionsBoundary: pool.Settings.PermissionsBoundary})),
		ServicePolicy: json.RawMessage(iam.ServicePolicy(role)),
		Advice:        resource.Optional(trusted.advice),
	}
	if trusted.arn != "" {
		answer.PrincipalARN, answer.PrincipalSource = &trusted.arn, &trusted.source
		answer.TrustPolicy = new(json.RawMessage(iam.TrustPolicy(trusted.arn, account.ExternalID)))
		if trusted.source == principalOfWorker {
			answer.ReportedAt = resource.UTC(&trusted.reported.ReportedAt)
		}
	}
	return answer, nil
}

// principal is the identity that the roles of accounts trust.
type principal struct {
	arn, source string // empty: it is not known
	reported    provision.WorkerIdentity
	advice      string
}

// trustedPrincipal returns the wanted principal, else the configured one, else the one that a worker has reported.
func (s *service) trustedPrincipal(ctx context.Context, wanted string) (principal, error) {
	switch {
	case wanted != "":
		return principal{arn: wanted, source: principalOfRequest}, nil
	case s.PrincipalARN != "":
		return principal{arn: s.PrincipalARN, source: principalOfOption}, nil
	}
	reported, err := s.Processes.Identity(ctx)
	if errors.Is(err, provision.ErrNotFound) {
		return principal{advice: "The identity of the workers is not known, so there is no trust policy: start a worker, which reports it, " +
			"or set QM_AWS_PRINCIPAL_ARN of the API to the role or user that the workers run as."}, nil
	}
	if err != nil {
		return principal{}, err
	}
	arn, guessed := reported.Principal()
	found := principal{arn: arn, source: principalOfWorker, reported: reported}
	switch {
	case arn == "":
		found.advice = "The workers run as " + reported.ARN + ", which is neither a role nor a user, so there is no trust policy: " +
			"give them a role, or set QM_AWS_PRINCIPAL_ARN of the API to the role or user that they are to run as."
	case guessed:
		found.advice = "AWS reports a session of a role without the role's path. If the role has one, set QM_AWS_PRINCIPAL_ARN of the API " +
			"to the role's whole ARN."
	}
	return found, nil
}
