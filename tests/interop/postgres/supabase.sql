-- What the migrations expect of a Supabase project, as far as they use it: roles, accounts, and who is asking.
-- Tests only.

create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;

create schema auth;
grant usage on schema auth to anon, authenticated, service_role;

create table auth.users (
    id uuid primary key,
    email text unique,
    raw_user_meta_data jsonb
);

-- The person of the token that PostgREST checked.
create function auth.uid() returns uuid
language sql stable as $$
    select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;

-- Where the Realtime service asks whether somebody may join a private channel: it names the topic, and then tries to
-- read and to write a row in the person's name.
create schema realtime;
grant usage on schema realtime to anon, authenticated, service_role;
create table realtime.messages (topic text not null, extension text not null);
alter table realtime.messages enable row level security;
grant select, insert on realtime.messages to anon, authenticated, service_role;

create function realtime.topic() returns text
language sql stable as $$
    select nullif(current_setting('realtime.topic', true), '')
$$;
