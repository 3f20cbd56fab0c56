-- The functions that the development cloud offers for trying calls out, and no deployment needs. Tests only.

create function public.now() returns timestamptz language sql stable as $$ select clock_timestamp() $$;

create function public.add(a bigint, b bigint) returns bigint language sql immutable strict as $$ select a + b $$;

create function public.echo(value jsonb) returns jsonb language sql immutable strict as $$ select value $$;

create function public.messages_in(conversation uuid) returns setof public.messages language sql stable as $$
    select * from public.messages where conversation_id = conversation order by seq
$$;

-- What PostgREST 13 makes of a column that is searched, for PostgREST 12 to search in.
create function public.content_simple(public.messages) returns tsvector language sql immutable as $$
    select to_tsvector('simple', $1.content)
$$;
create function public.metadata_simple(public.messages) returns tsvector language sql immutable as $$
    select to_tsvector('simple', $1.metadata)
$$;
create function public.metadata_english(public.messages) returns tsvector language sql immutable as $$
    select to_tsvector('english', $1.metadata)
$$;

create function public.touch_profile() returns void language sql volatile as $$
    update public.profiles set last_active_at = clock_timestamp() where id = auth.uid()
$$;
