package activities

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bcmdataexports"
	bcmtypes "github.com/aws/aws-sdk-go-v2/service/bcmdataexports/types"

	"quartermaster/internal/awscloud"
	"quartermaster/internal/provision"
)

func createExport(ctx context.Context, s *awscloud.Session, w Assignment) (*namedReport, error) {
	out, err := s.Exports.CreateExport(ctx, w.newExport())
	if err != nil {
		return nil, err
	}
	return &namedReport{arn: aws.ToString(out.ExportArn), ours: true}, nil
}

// newExport returns the data export: all columns of the cost and usage table, hourly, with resource ids, as Parquet. AWS overwrites it
// with each delivery.
// Source: AWS Data Exports User Guide, "Cost and usage report (CUR) 2.0".
func (w Assignment) newExport() *bcmdataexports.CreateExportInput {
	in := &bcmdataexports.CreateExportInput{Export: &bcmtypes.Export{
		Name:        aws.String(w.reportName()),
		Description: aws.String("Cost and usage of this account"),
		DataQuery: &bcmtypes.DataQuery{
			QueryStatement: aws.String("SELECT " + strings.Join(usageColumns, ", ") + " FROM " + usageTable),
			TableConfigurations: map[string]map[string]string{usageTable: {
				"TIME_GRANULARITY":                      "HOURLY",
				"INCLUDE_RESOURCES":                     "TRUE",
				"INCLUDE_SPLIT_COST_ALLOCATION_DATA":    "FALSE",
				"INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY": "FALSE",
				"INCLUDE_CAPACITY_RESERVATION_DATA":     "TRUE",
			}},
		},
		DestinationConfigurations: &bcmtypes.DestinationConfigurations{S3Destination: &bcmtypes.S3Destination{
			S3Bucket:      aws.String(w.bucketName()),
			S3BucketOwner: aws.String(w.Account.ID),
			S3Prefix:      aws.String(w.reportPrefix()),
			S3Region:      aws.String(w.reportRegion()),
			S3OutputConfigurations: &bcmtypes.S3OutputConfigurations{
				OutputType:  bcmtypes.S3OutputTypeCustom,
				Format:      bcmtypes.FormatOptionParquet,
				Compression: bcmtypes.CompressionOptionParquet,
				Overwrite:   bcmtypes.OverwriteOptionOverwriteReport,
			},
		}},
		RefreshCadence: &bcmtypes.RefreshCadence{Frequency: bcmtypes.FrequencyOptionSynchronous},
	}}
	for _, t := range w.tags() {
		in.ResourceTags = append(in.ResourceTags, bcmtypes.ResourceTag{Key: aws.String(t.key), Value: aws.String(t.value)})
	}
	return in
}

func (a *Activities) deleteExport(ctx context.Context, s *awscloud.Session, arn string) error {
	return a.remove(ctx, func(ctx context.Context) error {
		_, err := s.Exports.DeleteExport(ctx, &bcmdataexports.DeleteExportInput{ExportArn: aws.String(arn)})
		return err
	})
}

func createdExport(ctx context.Context, s *awscloud.Session, w Assignment) (*namedReport, error) {
	export, _, err := lookForExport(ctx, s, w.reportName())
	if err != nil || export == nil {
		return nil, err
	}
	var tags []tag
	in := &bcmdataexports.ListTagsForResourceInput{ResourceArn: export.ExportArn}
	for {
		page, err := s.Exports.ListTagsForResource(ctx, in)
		if awscloud.IsNotFound(err) {
			return nil, nil // deleted between the two calls
		}
		if err != nil {
			return nil, err
		}
		tags = append(tags, tagsOf(page.ResourceTags, func(t bcmtypes.ResourceTag) (key, value *string) { return t.Key, t.Value })...)
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return &namedReport{arn: aws.ToString(export.ExportArn), ours: w.owns(tags)}, nil
		}
	}
}

func exportReportOf(name, arn string, export *bcmtypes.Export) provision.Report {
	report := provision.Report{Name: name, Kind: provision.DataExport, ARN: arn}
	if export != nil && export.DestinationConfigurations != nil && export.DestinationConfigurations.S3Destination != nil {
		to := export.DestinationConfigurations.S3Destination
		report.Bucket, report.Prefix, report.Region = aws.ToString(to.S3Bucket), aws.ToString(to.S3Prefix), aws.ToString(to.S3Region)
	}
	return report
}

// usageTable is the table of Data Exports that holds cost and usage (CUR 2.0).
const usageTable = "COST_AND_USAGE_REPORT"

// usageColumns are the columns of the table COST_AND_USAGE_REPORT that exist without split cost allocation. AWS does not accept
// SELECT *. line_item_resource_id needs INCLUDE_RESOURCES, and capacity_reservation_* need INCLUDE_CAPACITY_RESERVATION_DATA.
// Source: AWS Data Exports User Guide, "Cost and Usage Report (CUR) 2.0: table dictionary".
var usageColumns = []string{
	"bill_bill_type", "bill_billing_entity", "bill_billing_period_end_date", "bill_billing_period_start_date", "bill_invoice_id",
	"bill_invoicing_entity", "bill_payer_account_id", "bill_payer_account_name",
	"capacity_reservation_capacity_reservation_arn", "capacity_reservation_capacity_reservation_status",
	"capacity_reservation_capacity_reservation_type",
	"cost_category", "discount", "discount_bundled_discount", "discount_total_discount",
	"identity_line_item_id", "identity_time_interval",
	"line_item_availability_zone", "line_item_blended_cost", "line_item_blended_rate", "line_item_currency_code", "line_item_legal_entity",
	"line_item_line_item_description", "line_item_line_item_type", "line_item_net_unblended_cost", "line_item_net_unblended_rate",
	"line_item_normalization_factor", "line_item_normalized_usage_amount", "line_item_operation", "line_item_product_code",
	"line_item_resource_id", "line_item_tax_type", "line_item_unblended_cost", "line_item_unblended_rate", "line_item_usage_account_id",
	"line_item_usage_account_name", "line_item_usage_amount", "line_item_usage_end_date", "line_item_usage_start_date", "line_item_usage_type",
	"line_item_user_identifier",
	"pricing_currency", "pricing_lease_contract_length", "pricing_offering_class", "pricing_public_on_demand_cost",
	"pricing_public_on_demand_rate", "pricing_purchase_option", "pricing_rate_code", "pricing_rate_id", "pricing_term", "pricing_unit",
	"product", "product_comment", "product_fee_code", "product_fee_description", "product_from_location", "product_from_location_type",
	"product_from_region_code", "product_instance_family", "product_instance_type", "product_instancesku", "product_location",
	"product_location_type", "product_operation", "product_pricing_unit", "product_product_family", "product_region_code",
	"product_servicecode", "product_sku", "product_to_location", "product_to_location_type", "product_to_region_code", "product_usagetype",
	"reservation_amortized_upfront_cost_for_usage", "reservation_amortized_upfront_fee_for_billing_period", "reservation_availability_zone",
	"reservation_effective_cost", "reservation_end_time", "reservation_modification_status",
	"reservation_net_amortized_upfront_cost_for_usage",
	"reservation_net_amortized_upfront_fee_for_billing_period", "reservation_net_effective_cost", "reservation_net_recurring_fee_for_usage",
	"reservation_net_unused_amortized_upfront_fee_for_billing_period", "reservation_net_unused_recurring_fee", "reservation_net_upfront_value",
	"reservation_normalized_units_per_reservation", "reservation_number_of_reservations", "reservation_recurring_fee_for_usage",
	"reservation_reservation_a_r_n", "reservation_start_time", "reservation_subscription_id",
	"reservation_total_reserved_normalized_units", "reservation_total_reserved_units", "reservation_units_per_reservation",
	"reservation_unused_amortized_upfront_fee_for_billing_period", "reservation_unused_normalized_unit_quantity",
	"reservation_unused_quantity", "reservation_unused_recurring_fee", "reservation_upfront_value",
	"resource_tags",
	"savings_plan_amortized_upfront_commitment_for_billing_period", "savings_plan_end_time", "savings_plan_instance_type_family",
	"savings_plan_net_amortized_upfront_commitment_for_billing_period", "savings_plan_net_recurring_commitment_for_billing_period",
	"savings_plan_net_savings_plan_effective_cost", "savings_plan_offering_type", "savings_plan_payment_option",
	"savings_plan_purchase_term", "savings_plan_recurring_commitment_for_billing_period", "savings_plan_region",
	"savings_plan_savings_plan_a_r_n", "savings_plan_savings_plan_effective_cost", "savings_plan_savings_plan_rate",
	"savings_plan_start_time", "savings_plan_total_commitment_to_date", "savings_plan_used_commitment",
}
