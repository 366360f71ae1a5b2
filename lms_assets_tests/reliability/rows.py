"""What goes wrong, row by row, and the tests that show what happens then.

Tests are named by their functions: where they stand may change. `docs/reliability.md` is made
from this list and from what the tests came to.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        fault: What goes wrong.
        tests: The functions that show what happens then.
    """

    fault: str
    tests: tuple[str, ...]


ROWS = {
    "A1": Row(
        "The API refuses connections for a while, then works",
        (
            "test_an_api_that_comes_back_between_two_tries_is_asked_again",
            "test_the_waits_between_tries_grow",
        ),
    ),
    "A2": Row(
        "It refuses for good; its name is not found",
        (
            "test_a_refused_connection_is_a_temporary_fault_that_names_the_host",
            "test_an_unknown_host_name_has_a_fault_of_its_own",
            "test_the_key_is_in_no_text_of_the_resource",
            "test_no_secret_is_left_anywhere_that_people_read",
        ),
    ),
    "A3": Row(
        "429 with Retry-After: seconds, a long time, a date, nonsense",
        (
            "test_a_retry_after_in_seconds_is_waited_for",
            "test_a_retry_after_date_a_little_ahead_is_waited_for",
            "test_a_retry_after_over_the_cap_fails_at_once_as_temporary",
            "test_a_retry_after_that_says_nothing_is_ignored",
        ),
    ),
    "A4": Row(
        "500, 502, 503, 504 twice, then an answer",
        ("test_two_server_errors_and_then_an_answer_succeed",),
    ),
    "A5": Row(
        "401 or 403",
        (
            "test_refused_credentials_are_asked_once_and_named_by_their_variable",
            "test_refused_credentials_fail_the_day_with_one_letter_that_names_the_variable",
        ),
    ),
    "A6": Row(
        "A 200 that is no array: HTML, nothing, an object of errors, null",
        (
            "test_an_answer_that_is_no_array_is_tried_again_and_then_quoted",
            "test_an_error_object_of_the_api_is_never_a_success",
            "test_a_key_that_the_api_echoes_is_not_quoted",
        ),
    ),
    "A7": Row(
        "The body is cut short",
        (
            "test_a_cut_answer_is_tried_again_and_never_kept",
            "test_a_cut_between_two_records_is_noticed_too",
            "test_a_cut_compressed_answer_is_noticed",
        ),
    ),
    "A8": Row(
        "It hangs; it sends a byte a second",
        (
            "test_a_total_deadline_ends_what_never_ends",
            "test_a_total_deadline_ends_a_slow_answer_over_tls_too",
            "test_an_api_that_hangs_fails_the_day_within_its_budget",
        ),
    ),
    "A9": Row("A very large day", ("test_an_answer_over_the_size_that_is_kept_is_refused",)),
    "A10": Row(
        "An empty array",
        (
            "test_an_empty_answer_ends_well_and_keeps_what_is_stored",
            "test_an_empty_answer_never_stands_for_a_day_that_had_some",
        ),
    ),
    "A11": Row(
        "Records on both edges, outside the window, repeated",
        (
            "test_an_attempt_on_the_midnight_boundary_is_counted_once",
            "test_a_repeated_attempt_is_kept_once_as_first_received",
        ),
    ),
    "A12": Row(
        "A record comes late, has changed, is gone",
        (
            "test_a_changed_attempt_is_updated_and_its_row_stays",
            "test_what_the_answer_no_longer_holds_is_kept_and_counted",
            "test_a_mirror_deletes_what_the_answer_no_longer_holds",
        ),
    ),
    "A13": Row(
        "A redirect to another host",
        (
            "test_a_redirect_is_refused_and_the_key_stays",
            "test_a_redirect_to_nowhere_is_refused_as_well",
        ),
    ),
    "A14": Row(
        "A key is new, missing, of another type, renamed",
        (
            "test_a_new_key_is_ignored_and_reported",
            "test_a_renamed_key_is_quarantined_and_reported",
            "test_a_day_with_too_many_bad_records_is_not_loaded_and_its_answer_is_kept",
        ),
    ),
    "B1": Row(
        "NUL, a lone surrogate, a record over 64 KiB, nesting over 50",
        (
            "test_nul_and_lone_surrogates_in_a_kept_text_are_rejected",
            "test_a_record_of_64_kib_is_kept_and_one_byte_more_is_too_large",
            "test_nesting_of_50_is_kept_and_of_51_is_too_deep",
        ),
    ),
    "B2": Row(
        "A user id that is empty, null, a number, too long",
        (
            "test_any_other_user_id_is_rejected_never_cut_short",
            "test_a_missing_user_id_is_rejected",
        ),
    ),
    "B3": Row(
        "A time that is impossible, infinite, in 2199, with seven decimals or an offset",
        (
            "test_an_instant_is_read_by_the_rule_in_utc",
            "test_an_impossible_instant_is_rejected_never_shifted",
        ),
    ),
    "B4": Row(
        "passback_params that is broken, code, JSON, None",
        (
            "test_any_other_passback_is_rejected",
            "test_nothing_in_passback_is_ever_evaluated",
            "test_passback_is_read_as_python_literal_json_or_object",
        ),
    ),
    "B5": Row(
        'NaN, 1e400, "1", true, 2 as a verdict',
        ("test_a_verdict_is_read_by_the_stated_table", "test_any_other_verdict_is_rejected"),
    ),
    "B6": Row(
        "More bad records than the threshold",
        (
            "test_a_day_with_too_many_bad_records_is_not_loaded_and_its_answer_is_kept",
            "test_too_many_rejected_records_are_told_by_reason",
        ),
    ),
    "B7": Row(
        "Formulas, scripts and line breaks in any text",
        (
            "test_text_that_looks_like_a_formula_is_text",
            "test_text_from_outside_is_inert",
            "test_a_message_cannot_forge_a_line",
        ),
    ),
    "C1": Row(
        "PostgreSQL is down at the start, killed in the COPY, before and after the commit",
        (
            "test_a_server_that_is_down_is_a_fault_that_may_pass",
            "test_a_database_killed_on_the_way_leaves_no_half_day_and_the_day_again_repairs_it",
        ),
    ),
    "C2": Row(
        "The run is killed at any moment",
        (
            "test_a_run_killed_on_the_way_leaves_no_half_day_and_the_day_again_repairs_it",
            "test_a_history_whose_commands_are_killed_at_random_ends_as_an_undisturbed_one",
            "test_two_hundred_kills_over_thirty_days_lose_nothing_and_double_nothing",
        ),
    ),
    "C3": Row(
        "Two runs of one day at once; two days in opposite order",
        (
            "test_two_runs_of_one_day_at_once_load_it_once",
            "test_two_transactions_that_wait_for_each_other_both_succeed",
        ),
    ),
    "C4": Row(
        "The table is locked by another session",
        ("test_a_table_locked_for_too_long_names_the_blocker",),
    ),
    "C5": Row(
        "The disk is full; the server is read-only; a right is missing",
        (
            "test_a_full_disk_of_the_database_fails_the_day_clean_and_the_day_again_repairs_it",
            "test_a_read_only_server_is_a_fault_of_its_own",
            "test_a_read_only_login_is_refused_and_changes_nothing",
        ),
    ),
    "C6": Row(
        "The schema is older or newer than the code",
        (
            "test_an_older_schema_is_brought_up_with_what_it_holds",
            "test_a_schema_that_is_newer_than_the_code_is_refused_by_both_names",
            "test_many_that_start_at_once_migrate_once",
        ),
    ),
    "C7": Row("A day is run three times", ("test_a_day_run_three_times_is_the_same_table",)),
    "D1": Row(
        "Google answers 429, 5xx, HTML; the answer is lost after the write",
        (
            "test_a_failing_google_is_asked_again_and_each_day_is_there_once",
            "test_a_page_of_a_proxy_instead_of_json_is_asked_again",
            "test_an_answer_that_is_lost_after_the_write_leaves_each_day_there_once",
        ),
    ),
    "D2": Row(
        "The sheet is not shared, not found; the key is revoked; the clock is off",
        (
            "test_a_spreadsheet_that_is_not_shared_says_with_whom_to_share_it",
            "test_another_spreadsheet_is_not_found",
            "test_a_revoked_key_is_refused_and_not_tried_again",
            "test_a_wrong_clock_is_named_as_the_cause",
            "test_a_sheet_that_is_not_shared_fails_the_run_but_not_the_loaded_day",
        ),
    ),
    "D3": Row(
        "A person deletes, moves, renames, sorts, filters, adds columns",
        (
            "test_a_deleted_tab_is_rebuilt",
            "test_moved_columns_stay_where_they_were_moved",
            "test_an_edited_heading_is_refused_by_its_name_and_nothing_is_written",
            "test_sorted_rows_are_put_in_order_and_remarks_stay_with_their_days",
            "test_a_persons_columns_are_left_alone",
        ),
    ),
    "D4": Row(
        "Two publications at once",
        ("test_a_tab_that_another_publisher_made_in_between_is_no_crash",),
    ),
    "D5": Row(
        "A year of days",
        (
            "test_a_year_of_days_is_complete_after_one_write",
            "test_a_quota_used_up_is_waited_for",
        ),
    ),
    "D6": Row(
        "A reader or a crash between two writes",
        (
            "test_a_publication_is_two_reads_and_one_write",
            "test_a_write_that_is_refused_changes_nothing",
            "test_a_publication_that_is_interrupted_leaves_the_workbook_as_it_was",
        ),
    ),
    "E1": Row(
        "The mail server is down for two hours",
        (
            "test_letters_wait_while_the_server_is_down_and_none_is_lost",
            "test_a_letter_waits_for_a_mail_server_that_is_down_and_the_next_run_delivers_it",
        ),
    ),
    "E2": Row(
        "It takes the letter, then hangs or drops before it confirms",
        (
            "test_an_answer_that_is_lost_makes_one_duplicate_at_most",
            "test_a_repeated_letter_has_the_same_message_id",
        ),
    ),
    "E3": Row(
        "535 at the login; 550 for one of three recipients",
        (
            "test_a_login_that_is_refused_gives_the_letter_up_at_once",
            "test_a_recipient_who_was_put_off_gets_it_later_and_the_others_not_again",
        ),
    ),
    "E4": Row(
        "A self-signed certificate; STARTTLS is not offered",
        (
            "test_a_certificate_of_an_unknown_authority_is_refused",
            "test_another_host_without_starttls_gets_nothing",
            "test_a_server_on_this_machine_gets_letters_in_clear_but_no_password",
        ),
    ),
    "E5": Row(
        "Cyrillic, emoji, line breaks, a traceback of a megabyte",
        (
            "test_any_text_makes_a_letter_that_can_be_sent",
            "test_a_traceback_of_a_megabyte_is_trimmed_to_its_end",
        ),
    ),
    "E6": Row(
        "A long history with a few failures",
        (
            "test_a_history_with_three_failures_makes_one_letter_that_names_them",
            "test_a_history_tells_each_cause_once_with_its_days",
        ),
    ),
    "E7": Row(
        "A run is retried twice, then good",
        ("test_a_run_that_was_retried_twice_and_then_good_has_one_letter_that_says_so",),
    ),
    "F1": Row(
        "The daemon is off over two midnights",
        (
            "test_a_machine_that_was_off_over_two_midnights_has_every_day_asked_for",
            "test_every_day_of_a_pause_is_run_on_return_with_one_letter",
        ),
    ),
    "F2": Row(
        "The machine dies in the middle of a run",
        ("test_a_run_that_died_with_the_machine_is_failed_has_a_letter_and_runs_again",),
    ),
    "F3": Row(
        "The first start",
        (
            "test_schedule_and_sensors_are_on_after_the_first_start",
            "test_a_run_that_failed_before_the_first_tick_has_a_letter",
        ),
    ),
    "F4": Row(
        "Old runs are purged; logs are old",
        (
            "test_files_dated_three_days_ago_or_earlier_are_deleted",
            "test_a_purge_leaves_every_partition_as_it_was",
            "test_a_day_whose_last_run_failed_stays_failed",
            "test_runs_of_an_open_batch_and_of_a_letter_that_waits_stay",
            "test_a_run_under_way_is_never_purged_and_makes_the_time_unquiet",
            "test_a_reference_to_a_pruned_object_counts_as_absent",
            "test_the_newest_answer_of_a_day_stays_however_old_it_is",
        ),
    ),
    "F5": Row(
        "The page is reached from another host",
        ("test_the_pages_answers_about_resources_hold_no_secret",),
    ),
    "F6": Row(
        "Days of 23 and 25 hours",
        (
            "test_days_of_23_and_25_hours_have_windows_of_23_and_25_hours",
            "test_a_day_equals_the_sum_of_its_hours",
        ),
    ),
    "F7": Row(
        "The zone changes after data was loaded",
        ("test_another_zone_over_loaded_days_is_refused_with_what_to_do",),
    ),
}

# What no single fault stands for, by a word.
BEYOND = {
    "Load": Row(
        "30 days are loaded while runs, a replay, an erasure, a reclean and 20 readers go on",
        ("test_a_history_is_loaded_while_runs_a_replay_an_erasure_and_twenty_readers_go_on",),
    ),
    "Erasure": Row(
        "A student is erased; old copies and late processes bring the student back",
        (
            "test_after_an_erasure_the_student_is_in_no_file_and_no_table",
            "test_an_erased_student_comes_back_by_no_way_that_there_is",
            "test_an_erasure_waits_until_what_is_being_stored_is_stored",
            "test_a_day_cleaned_before_the_erasure_is_merged_without_the_student",
            "test_a_student_erased_since_the_backup_stays_erased",
        ),
    ),
    "Input": Row(
        "Any bytes and texts where people and programs put something in",
        (
            "test_whatever_is_put_in_a_result_or_a_clear_error_comes_out",
            "test_a_minute_of_inputs_of_each_kind_meets_no_traceback",
            "test_a_body_that_unpacks_to_a_hundredfold_is_refused_in_bounded_memory",
            "test_a_body_without_end_is_refused_in_bounded_memory",
            "test_a_million_empty_objects_are_a_million_refused_records_in_bounded_memory",
        ),
    ),
    "Doors": Row(
        "Others reach the page, the database, the files",
        (
            "test_without_a_right_login_nothing_is_shown",
            "test_a_viewer_sees_the_page_and_may_run_nothing",
            "test_no_secret_is_in_anything_that_the_browser_was_sent",
            "test_the_pages_themselves_listen_on_this_machine_alone",
            "test_the_reader_does_not_see_quarantine_letters_or_dagsters_tables",
            "test_a_wrong_authority_or_name_is_refused",
            "test_a_root_that_another_program_shares_keeps_its_home_closed",
        ),
    ),
    "Upgrade": Row(
        "The database was made by an older version",
        (
            "test_an_old_database_keeps_every_row_and_every_figure",
            "test_recomputed_figures_of_an_old_database_equal_the_old_ones",
            "test_a_day_runs_in_an_old_database_beside_its_runs_of_before",
            "test_a_kept_state_keeps_every_row_and_every_figure",
            "test_recomputed_figures_of_a_kept_state_equal_its_own",
            "test_a_day_runs_in_a_kept_state_beside_its_runs_of_before",
        ),
    ),
    "Loss": Row(
        "The machine is lost; a backup is cut or altered",
        (
            "test_a_home_that_was_destroyed_comes_back_as_it_was",
            "test_the_way_from_the_embedded_database_to_ones_own_and_back",
            "test_a_cut_or_altered_backup_is_refused",
        ),
    ),
    "Packages": Row(
        "A package is another one than was locked, or may not be used",
        (
            "test_every_line_is_one_exact_version_with_its_hashes",
            "test_every_package_is_listed_with_the_licence_that_it_names_itself",
            "test_what_asks_for_more_than_a_notice_is_named",
        ),
    ),
}
