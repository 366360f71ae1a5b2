-- Afterwards the functions exist that the figures' SQL uses. The comments on the functions in
-- columns.toml say what each returns.

create function share_pct(part bigint, whole bigint) returns double precision
    language sql immutable parallel safe
    return 100::double precision * part / nullif(whole, 0);

create function ratio(total bigint, number bigint) returns double precision
    language sql immutable parallel safe
    return total::double precision / nullif(number, 0);

-- 1.959963984540054 is the quantile of the normal distribution for a 95-percent interval.
create function wilson_pct(successes bigint, trials bigint, side integer)
    returns double precision language sql immutable parallel safe
    return case when trials > 0 then 100 * greatest(0, least(1, (
        successes::double precision / trials
        + 1.959963984540054 ^ 2 / (2 * trials)
        + side * 1.959963984540054 * sqrt(
            successes::double precision / trials * (1 - successes::double precision / trials)
                / trials
            + 1.959963984540054 ^ 2 / (4 * trials::double precision ^ 2)
        )
    ) / (1 + 1.959963984540054 ^ 2 / trials))) end;

create function week_of(day date) returns date language sql immutable parallel safe
    return day - (extract(isodow from day)::integer - 1);

create function student_task_state(
    solved_at timestamp, graded integer, last_submit_day date, as_of date
) returns text language sql immutable parallel safe
    return case
        when solved_at is not null then 'solved'
        when graded < 5 then 'trying'
        when last_submit_day > as_of - 7 then 'stuck'
        else 'gave_up'
    end;

create function student_activity_state(days_inactive integer) returns text
    language sql immutable parallel safe
    return case
        when days_inactive < 7 then 'active' when days_inactive < 14 then 'at_risk' else 'dropped'
    end;
