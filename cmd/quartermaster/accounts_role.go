package main

import (
	"encoding/json"
	"errors"
	"strings"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/deploy/iam"
)

type accountRoleCommand struct {
	apiOptions
	ID        string `arg:"" help:"AWS account id, 12 digits."`
	Principal string `help:"ARN of the role or user that the workers run as, which the account's role trusts. aws sts get-caller-identity prints it." env:"QM_AWS_PRINCIPAL" placeholder:"ARN"`
	Only      string `help:"Print only one policy, in the form that AWS accepts: role (what the account's role may do), trust (who may assume it) or service (for the workers' own identity)." enum:"role,trust,service," default:"" placeholder:"role|trust|service"`
}

// rolePolicies are the policies for one account.
type rolePolicies struct {
	Role    json.RawMessage `json:"role"`
	Trust   json.RawMessage `json:"trust"`
	Service json.RawMessage `json:"service"`
}

// Run prints the policies. The trust policy holds the account's external id, which "accounts show" prints too.
func (c *accountRoleCommand) Run(e *env, api *client.Client) error {
	account, _, err := client.Object[openapi.Account](api.GetAccount(e.ctx, c.ID))
	if err != nil {
		return err
	}
	pool, _, err := client.Object[openapi.Pool](api.GetPool(e.ctx, account.Marketplace, account.Environment))
	if err != nil {
		return err
	}
	principal, err := principalARN(c.Principal)
	if err != nil && (c.Only == "" || c.Only == "trust") {
		return err
	}
	policies := policiesOf(account, pool, principal)
	switch c.Only {
	case "role":
		return writeIndentedJSON(e, policies.Role)
	case "trust":
		return writeIndentedJSON(e, policies.Trust)
	case "service":
		return writeIndentedJSON(e, policies.Service)
	}
	return writeIndentedJSON(e, policies)
}

func policiesOf(account openapi.Account, pool openapi.Pool, principal string) rolePolicies {
	_, role, _ := strings.Cut(account.RoleARN, ":role/")
	return rolePolicies{
		Role: json.RawMessage(iam.RolePolicy(iam.Role{AccountID: account.ID, UserPolicyARNs: pool.UserPolicyArns,
			PermissionsBoundary: or(pool.PermissionsBoundaryARN, "")})),
		Trust:   json.RawMessage(iam.TrustPolicy(principal, account.ExternalID)),
		Service: json.RawMessage(iam.ServicePolicy(role)),
	}
}

// principalARN checks the identity that the account's role will trust. A trust policy names a role, never a session of it.
func principalARN(arn string) (string, error) {
	parts := strings.SplitN(arn, ":", 6)
	switch {
	case arn == "":
		return "", errors.New("--principal is missing: name the role or user that the workers run as; " +
			"aws sts get-caller-identity prints it")
	case len(parts) == 6 && parts[2] == "sts" && strings.HasPrefix(parts[5], "assumed-role/"):
		name := strings.SplitN(parts[5], "/", 3)[1]
		return "", errors.New("--principal is a session of a role: name the role itself, " +
			"arn:" + parts[1] + ":iam::" + parts[4] + ":role/" + name + ", with its path if it has one")
	case len(parts) != 6 || parts[0] != "arn" || parts[1] != "aws" || parts[2] != "iam" ||
		!strings.HasPrefix(parts[5], "role/") && !strings.HasPrefix(parts[5], "user/"):
		return "", errors.New("--principal is not a role or user: write it as arn:aws:iam::<account id>:role/<name>")
	}
	return arn, nil
}
