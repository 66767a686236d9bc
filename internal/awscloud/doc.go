// Package awscloud builds the AWS clients for one account of the pool.
//
// [Cloud.OpenSession] assumes the account's role, checks with AWS that the role is in that account, and returns a [Session] with a
// client for each service. All clients are pinned to their regions and paced ([Limits]). The SDK repeats reads but never writes, so
// the caller sees every write whose outcome is unknown. A write is sent only while the attempt's [Lease] lives.
//
// The predicates (IsNotFound, IsThrottled, …) classify the errors of all services by AWS's codes. What an error means for an order
// is decided in package activities. Package awssim simulates AWS for the tests and for development.
package awscloud
