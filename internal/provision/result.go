package provision

import (
	"fmt"
	"time"
)

// Result is what the customer gets.
type Result struct {
	AccountID           string    `json:"account_id"`
	AccountModel        Model     `json:"account_model"`
	AccountAlias        string    `json:"account_alias"`
	SignInURL           string    `json:"sign_in_url"`       // by alias
	SignInURLByID       string    `json:"sign_in_url_by_id"` // by account id: works even when the alias changes
	IAMUserName         string    `json:"iam_user_name"`
	Report              Report    `json:"report"`
	UsageAvailableFrom  time.Time `json:"usage_available_from"`   // when the report will first contain usage
	OlderUsageAvailable bool      `json:"older_usage_available"`  // false for a new report: it does not contain earlier usage
	RootInstructions    string    `json:"root_access,omitempty"`  // only for models whose customer owns the root user
	Instructions        string    `json:"instructions,omitempty"` // the pool's text for other models, if it has one
	ManualSteps         []string  `json:"manual_steps,omitempty"` // what AWS has no API for
	Warnings            []string  `json:"warnings,omitempty"`     // what the customer needs to know about the report and the sign-in
	CompletedAt         time.Time `json:"completed_at"`
}

// User is the IAM user that an order creates for the customer. The id (AIDA…) distinguishes it from a later user of the same name.
type User struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	ARN  string `json:"arn"`
}

// SignInURL returns the console's sign-in page for an account alias or an account id.
// Source: IAM User Guide, "Account alias" (aws partition).
func SignInURL(aliasOrID string) string {
	return fmt.Sprintf("https://%s.signin.aws.amazon.com/console/", aliasOrID)
}
