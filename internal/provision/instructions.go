package provision

import "strings"

// rootInstructions is the built-in text for models whose customer owns the root user.
// Source: IAM User Guide, "Reset a lost or forgotten root user password".
const rootInstructions = `You own the root user of AWS account {account_id}. To take it over:
1. Sign out of any AWS session and open https://console.aws.amazon.com/.
2. Choose "Root user" and enter {root_email}.
3. Choose "Forgot password?" and solve the CAPTCHA. AWS mails a link from an address that ends in @verify.signin.aws to {root_email}.
4. Set a password that you use nowhere else.
5. Sign in and switch on multi-factor authentication (MFA) for the root user at once.
Do not create access keys for the root user, and use it only for tasks that need it.`

// rootEmailPlaceholder is allowed only where the customer owns the root user; elsewhere the customer must not see the address.
const rootEmailPlaceholder = "{root_email}"

// placeholderNames returns the placeholders that a template for the model may contain.
func placeholderNames(model AccountModel) []string {
	names := []string{"{account_id}", "{alias}", "{iam_user_name}", "{sign_in_url}", "{sign_in_url_by_id}"}
	if model.RootAccess {
		names = append(names, rootEmailPlaceholder)
	}
	return names
}

// Instruct adds the instructions for the customer to the result of an order. For a model whose customer owns the root user they
// say how to take it over, unless the pool leaves that out; for other models they are the pool's text, if it has one.
func (s PoolSettings) Instruct(account Account, result Result) Result {
	template := s.Instructions[account.Model]
	if account.RootAccess && template == "" {
		template = rootInstructions
	}
	rootEmail := ""
	if account.RootAccess {
		rootEmail = account.RootEmail
	}
	text := strings.NewReplacer(
		"{account_id}", account.ID,
		"{alias}", result.AccountAlias,
		"{iam_user_name}", result.IAMUserName,
		"{sign_in_url}", result.SignInURL,
		"{sign_in_url_by_id}", result.SignInURLByID,
		rootEmailPlaceholder, rootEmail,
	).Replace(template)
	switch {
	case !account.RootAccess:
		result.Instructions = text
	case s.ProvideRootUser:
		result.RootInstructions = text
	}
	return result
}
