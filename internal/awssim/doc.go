// Package awssim simulates the part of AWS that Quartermaster calls: STS, IAM, Account Management, Cost and Usage Reports, Data
// Exports, and S3. It speaks AWS's wire protocols over one HTTP listener, and clients use it through the real SDK, so no fake
// interface can drift away from AWS.
//
// The simulator is as strict as AWS: it checks signatures, scopes, input constraints and policies. Reads show a write only after a
// delay (Options.Delay), and fault rules replace or lose answers before or after their effects (Inject). It does not deliver
// reports, verify phone numbers, or let users sign in; MayChangePassword reports whether a first sign-in would succeed.
//
// A Seed describes the accounts, Snapshot prints an account, and Effects and Requests list what happened. Package awscloud is its
// main client.
package awssim
