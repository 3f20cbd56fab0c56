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
