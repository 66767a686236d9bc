package awssim

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// awsPolicyPrefix is the beginning of the ARN of a policy that AWS manages.
const awsPolicyPrefix = "arn:aws:iam::aws:policy/"

// awsPolicies are the AWS managed policies that the simulator knows. Their documents are AWS's, reduced to the services that the
// simulator has and to what matters for a user who changes the password.
// Source: AWS Managed Policy Reference Guide.
var awsPolicies = map[string]string{
	"AdministratorAccess": identityDocument(`{"Effect":"Allow","Action":"*","Resource":"*"}`),
	"PowerUserAccess": identityDocument(`{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"},
		{"Effect":"Allow","Action":["account:GetAccountInformation","account:GetGovCloudAccountInformation","account:GetPrimaryEmail",
		"account:ListRegions",
		"iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","iam:ListRoles","organizations:DescribeEffectivePolicy",
		"organizations:DescribeOrganization"],"Resource":"*"}`),
	"ReadOnlyAccess": identityDocument(`{"Effect":"Allow","Action":["account:Get*","account:List*","bcm-data-exports:Get*",
		"bcm-data-exports:List*",
		"cur:Describe*","cur:Get*","iam:Generate*","iam:Get*","iam:List*","iam:Simulate*","s3:Get*","s3:List*","sts:GetCallerIdentity"],
		"Resource":"*"}`),
	"IAMFullAccess": identityDocument(`{"Effect":"Allow","Action":["iam:*","organizations:DescribeAccount",
		"organizations:DescribeOrganization"],"Resource":"*"}`),
	"IAMReadOnlyAccess": identityDocument(`{"Effect":"Allow","Action":["iam:GenerateCredentialReport",
		"iam:GenerateServiceLastAccessedDetails","iam:Get*",
		"iam:List*","iam:SimulateCustomPolicy","iam:SimulatePrincipalPolicy"],"Resource":"*"}`),
	// The variable is the user's name without the path, so this policy has no effect for a user with a path.
	"IAMUserChangePassword": identityDocument(`{"Effect":"Allow","Action":["iam:ChangePassword"],
		"Resource":["arn:aws:iam::*:user/${aws:username}"]},
		{"Effect":"Allow","Action":["iam:GetAccountPasswordPolicy"],"Resource":"*"}`),
	"SecurityAudit": identityDocument(`{"Effect":"Allow","Action":["account:GetAlternateContact","cur:DescribeReportDefinitions",
		"iam:GenerateCredentialReport",
		"iam:Get*","iam:List*","s3:GetBucket*","s3:ListAllMyBuckets"],"Resource":"*"}`),
	"job-function/ViewOnlyAccess": identityDocument(`{"Effect":"Allow","Action":["cur:DescribeReportDefinitions",
		"iam:GetAccountSummary","iam:GetLoginProfile",
		"iam:List*","s3:ListAllMyBuckets","s3:ListBucket"],"Resource":"*"}`),
	"job-function/Billing": identityDocument(`{"Effect":"Allow","Action":["account:GetAccountInformation","bcm-data-exports:*",
		"cur:*"],"Resource":"*"}`),
	"AWSBillingReadOnlyAccess": identityDocument(`{"Effect":"Allow","Action":["account:GetAccountInformation",
		"cur:DescribeReportDefinitions"],"Resource":"*"}`),
}

// unknownDocument is the document of a policy in Account.ManagedPolicies: it allows nothing that the simulator knows.
var unknownDocument = identityDocument(`{"Effect":"Allow","Action":"sts:DecodeAuthorizationMessage","Resource":"*"}`)

func identityDocument(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

var policyARNPattern = regexp.MustCompile(`\Aarn:aws:iam::([0-9]{12}|aws):policy/\S+\z`)

// document returns the document of a managed policy, AWS's or the account's own.
func (a *Account) document(arn string) (document string, ok bool) {
	if name, isAWS := strings.CutPrefix(arn, awsPolicyPrefix); isAWS {
		document, ok = awsPolicies[name]
		return document, ok
	}
	if document, ok = a.PolicyDocuments[arn]; ok {
		return document, true
	}
	return unknownDocument, slices.Contains(a.ManagedPolicies, arn)
}

// documents returns the documents of managed policies, without those that do not exist.
func (a *Account) documents(arns ...string) (all []string) {
	for _, arn := range arns {
		if document, ok := a.document(arn); ok {
			all = append(all, document)
		}
	}
	return all
}

func (s *Sim) checkPolicyDocuments(a *Account) error {
	for _, arn := range keys(a.PolicyDocuments) {
		if !policyARNPattern.MatchString(arn) || arnField(arn, 4) != a.ID {
			return fmt.Errorf("policy_documents: %q must be the ARN of a policy of the account, such as arn:aws:iam::%s:policy/name",
				arn, a.ID)
		}
		if _, err := s.identityPolicy(a.PolicyDocuments[arn]); err != nil {
			return fmt.Errorf("policy_documents: %s: %w", arn, err)
		}
	}
	return nil
}

// attachable refuses a policy that cannot be attached in the account.
func (c *call) attachable(a *Account, arn string) *apiError {
	if !policyARNPattern.MatchString(arn) {
		return refuse(http.StatusBadRequest, "ValidationError", "Invalid ARN:  Could not be parsed!")
	}
	if _, ok := a.document(arn); !ok {
		return noSuchEntity("Policy " + arn + " does not exist or is not attachable.")
	}
	return nil
}

var iamPolicyOperations = []operation{
	{service: "iam", name: "GetPolicy", needs: on(onPolicy), do: getPolicy},
	{service: "iam", name: "GetPolicyVersion", needs: on(onPolicy), do: getPolicyVersion},
}

func onPolicy(c *call) string { return c.text("PolicyArn") }

// defaultVersion is the policy version in effect. Policies of AWS have several.
func defaultVersion(arn string) string {
	if strings.HasPrefix(arn, awsPolicyPrefix) {
		return "v3"
	}
	return "v1"
}

func (c *call) policyDocument() (string, *apiError) {
	document, ok := c.view().document(c.text("PolicyArn"))
	if !ok {
		return "", noSuchEntity("Policy " + c.text("PolicyArn") + " was not found.")
	}
	return document, nil
}

func getPolicy(c *call) (any, *apiError) {
	if _, refused := c.policyDocument(); refused != nil {
		return nil, refused
	}
	arn, attached, bounds := c.text("PolicyArn"), 0, 0
	for _, u := range c.view().Users {
		if slices.Contains(u.AttachedPolicies, arn) {
			attached++
		}
		if u.PermissionsBoundary == arn {
			bounds++
		}
	}
	path := arn[strings.Index(arn, ":policy/")+len(":policy"):]
	name := strings.LastIndex(path, "/") + 1
	type policyXML struct {
		PolicyName                    string
		PolicyID                      string `xml:"PolicyId"`
		Arn, Path                     string
		DefaultVersionID              string `xml:"DefaultVersionId"`
		AttachmentCount               int
		PermissionsBoundaryUsageCount int
		IsAttachable                  bool
		CreateDate                    string
	}
	return struct{ Policy policyXML }{policyXML{
		path[name:], "ANPA" + strings.ToUpper(path[name:]), arn, path[:name], defaultVersion(arn), attached, bounds, true,
		timestamp(c.view().Created),
	}}, nil
}

func getPolicyVersion(c *call) (any, *apiError) {
	document, refused := c.policyDocument()
	if refused != nil {
		return nil, refused
	}
	arn, id := c.text("PolicyArn"), c.text("VersionId")
	if id != defaultVersion(arn) {
		return nil, noSuchEntity("Policy " + arn + " version " + id + " does not exist or is not attachable.")
	}
	type versionXML struct {
		Document         string // URL-encoded, as IAM writes it
		VersionID        string `xml:"VersionId"`
		IsDefaultVersion bool
		CreateDate       string
	}
	return struct{ PolicyVersion versionXML }{versionXML{
		strings.ReplaceAll(url.QueryEscape(document), "+", "%20"), id, true, timestamp(c.view().Created),
	}}, nil
}

// MayChangePassword reports whether the user can sign in with the current password and choose another one, as AWS requires at a first
// sign-in. The user needs iam:ChangePassword and iam:GetAccountPasswordPolicy from the account's password policy or from the user's
// policies, and neither a permissions boundary nor the organization may deny them.
func (s *Sim) MayChangePassword(accountID, userName string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.accounts[accountID]
	if !ok || l.current.State == StateSuspended || l.current.State == StateClosed {
		return false
	}
	a := l.current
	u, ok := a.Users[userName]
	if !ok || u.LoginProfile == nil {
		return false
	}
	own := userARN(accountID, u.Path, userName)
	allowance := a.documents(u.AttachedPolicies...)
	for _, document := range u.InlinePolicies {
		allowance = append(allowance, document)
	}
	if policy := a.PasswordPolicy; policy != nil {
		expires := u.LoginProfile.Created.AddDate(0, 0, policy.MaxPasswordAge)
		if policy.HardExpiry && policy.MaxPasswordAge > 0 && !s.now().Before(expires) {
			return false
		}
		if policy.AllowUsersToChangePassword {
			// Source: IAM User Guide, "Set an account password policy": for their own user only, and for all of them.
			allowance = append(allowance, identityDocument(`{"Effect":"Allow","Action":"iam:ChangePassword","Resource":"`+own+`"},
				{"Effect":"Allow","Action":"iam:GetAccountPasswordPolicy","Resource":"*"}`))
		}
	}
	layers := a.layers(allowance, u.PermissionsBoundary)
	for action, resource := range map[string]string{"iam:ChangePassword": own, "iam:GetAccountPasswordPolicy": "*"} {
		q := question{action: action, resource: resource, caller: own, context: map[string][]string{"aws:username": {userName}}}
		if answer, _ := s.decide(q, layers); answer != allowed {
			return false
		}
	}
	return true
}
