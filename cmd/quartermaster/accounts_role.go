package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type accountRoleCommand struct {
	apiOptions
	ID        string `arg:"" help:"AWS account id, 12 digits."`
	Principal string `help:"ARN of the role or user that the workers run as, which the account's role trusts. Unset: the one that the API knows." env:"QM_AWS_PRINCIPAL" placeholder:"ARN"`
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
	if c.Principal != "" {
		if err := provision.ValidatePrincipal(c.Principal); err != nil {
			return usage("--principal: %w", err)
		}
	}
	role, _, err := client.Object[openapi.AccountRole](
		api.GetAccountRole(e.ctx, c.ID, &openapi.GetAccountRoleParams{PrincipalARN: named(c.Principal)}))
	if err != nil {
		return err
	}
	policies := rolePolicies{Role: role.PermissionsPolicy, Service: role.ServicePolicy}
	if c.Only == "" || c.Only == "trust" {
		if role.TrustPolicy == nil {
			return errors.New(or(role.Advice, "") + " Or name it by --principal: aws sts get-caller-identity prints it")
		}
		policies.Trust = *role.TrustPolicy
		if role.Advice != nil {
			fmt.Fprintln(e.logs, *role.Advice)
		}
	}
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
